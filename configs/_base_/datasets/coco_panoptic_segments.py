"""COCO panoptic with given masks: ``glipkit test clipself-b16 FILE --data coco_panoptic_segments``.

Layout as for ``coco_panoptic_regions``. The model names the annotated masks; for those of a
segmenter, ``masks=dict(ann_file='sam.json', seg='sam/')`` in the data set, in COCO's panoptic form,
without categories. Panoptic quality, things and stuff.
"""
_base_ = './coco_panoptic_regions.py'

test_pipeline = [
    dict(type='glipkit.LoadImage'),
    dict(type='glipkit.LoadSegments'),
    dict(type='glipkit.LongSideResize', size=1024),
    dict(type='glipkit.PackGrounding')
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_evaluator = dict(_delete_=True, type='glipkit.PanopticMetric')
