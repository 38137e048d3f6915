"""COCO val2017 for a model that reads regions; annotations are in the frame of the resized image.

Layout: ``data/coco/{annotations/instances_val2017.json, val2017/}``.
"""
test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    # Before the resizing, so that annotated boxes can be the regions (TruthBoxes).
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.ShortSideResize', scale=(1333, 800)),
    dict(type='glipkit.PackGrounding')
]
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='glipkit.CocoDetection',
        data_root='data/coco/',
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='glipkit.GroundingCocoMetric', ann_file='data/coco/annotations/instances_val2017.json')
test_evaluator = val_evaluator
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
