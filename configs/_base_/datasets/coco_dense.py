"""COCO val2017 for a model with a dense map: the longer side has 1024 pixels, bicubic.

Layout: ``data/coco/{annotations/instances_val2017.json, val2017/}``.
"""
_base_ = './coco_regions.py'
test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    # Before the resizing, so that annotated boxes can be the regions (TruthBoxes).
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.ShortSideResize', scale=(1024, 1024), interpolation='bicubic'),
    dict(type='glipkit.PackGrounding')
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
