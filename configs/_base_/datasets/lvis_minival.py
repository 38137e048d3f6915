"""LVIS minival, zero-shot: ``glipkit test CONFIG CHECKPOINT --data lvis_minival``.

Layout: ``data/coco/{annotations/lvis_v1_minival.json, val2017/}``; ``glipkit prepare lvis`` writes
the json, and the official lvis_v1_minival_inserted_image_name.json can take its place. Published
GLIP numbers are fixed AP, which wants many detections: as many per image as the official code makes
with its 31 prompts, 300 each.
"""
data_root = 'data/coco/'
ann_file = data_root + 'annotations/lvis_v1_minival.json'

test_dataloader = dict(
    dataset=dict(
        type='glipkit.LvisDetection',
        data_root=data_root,
        ann_file='annotations/lvis_v1_minival.json',
        data_prefix=dict(img=''),
        test_mode=True))
test_evaluator = [
    dict(type='glipkit.LvisMetric', ann_file=ann_file, bound='fixed'),
    dict(type='glipkit.LvisMetric', ann_file=ann_file, bound='capped'),
    dict(type='glipkit.FalsePositiveMetric', ann_file=ann_file, thresholds=[0.3, 0.5])
]
test_settings = dict(max_per_image=9300)
