"""LVIS v1 val, zero-shot: ``glipkit test CONFIG CHECKPOINT --data lvis_val``.

Layout: ``data/coco/{annotations/lvis_v1_val.json, train2017/, val2017/}``.
"""
_base_ = './lvis_minival.py'

ann_file = 'data/coco/annotations/lvis_v1_val.json'

test_dataloader = dict(dataset=dict(ann_file='annotations/lvis_v1_val.json'))
test_evaluator = [
    dict(type='glipkit.LvisMetric', ann_file=ann_file, bound='fixed'),
    dict(type='glipkit.LvisMetric', ann_file=ann_file, bound='capped'),
    dict(type='glipkit.FalsePositiveMetric', ann_file=ann_file, thresholds=[0.3, 0.5])
]
