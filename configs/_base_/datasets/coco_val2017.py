"""COCO val2017: ``glipkit test CONFIG CHECKPOINT --data coco_val2017``.

Layout: ``data/coco/{annotations/instances_val2017.json, val2017/}``. Beside AP, false positives on
classes that are not in the image, at thresholds as a user would set them.
"""
data_root = 'data/coco/'
ann_file = data_root + 'annotations/instances_val2017.json'

test_dataloader = dict(
    dataset=dict(
        type='glipkit.CocoDetection',
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True))
test_evaluator = [
    dict(type='glipkit.GroundingCocoMetric', ann_file=ann_file),
    dict(type='glipkit.FalsePositiveMetric', ann_file=ann_file, thresholds=[0.3, 0.5])
]
