"""OV-COCO: 48 base classes to train on, 65 asked at once to test (generalised).

Layout: ``data/coco/{annotations/, train2017/, val2017/}`` with OVR-CNN's annotation files
(github.com/alirezazareian/ovr-cnn): ``ovd_ins_train2017_b.json`` has the base boxes,
``ovd_ins_val2017_all.json`` the 4,836 images with a box of the 65 classes. COCO's own files take
their place: boxes of other classes, and images without one, are left out here as well.
"""
train_pipeline = [
    dict(type='glipkit.LoadImage', imdecode_backend='fast'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(
        type='RandomChoiceResize',
        scales=[(1333, 640), (1333, 672), (1333, 704), (1333, 736), (1333, 768), (1333, 800)],
        resize_type='glipkit.ShortSideResize',
        backend='fast'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='glipkit.PackGrounding')
]
test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.ShortSideResize', scale=(1333, 800)),
    dict(type='glipkit.PackGrounding')
]

base_boxes = dict(
    type='glipkit.CocoDetection',
    data_root='data/coco/',
    ann_file='annotations/ovd_ins_train2017_b.json',
    data_prefix=dict(img='train2017/'),
    metainfo=dict(classes='ov-coco/base'),
    filter_cfg=dict(filter_empty_gt=True),
    max_boxes=500)
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='glipkit.DrawSampler'),
    dataset=dict(type='glipkit.MixedDataset', pipeline=train_pipeline, datasets=[base_boxes]))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='glipkit.CocoDetection',
        data_root='data/coco/',
        ann_file='annotations/ovd_ins_val2017_all.json',
        data_prefix=dict(img='val2017/'),
        metainfo=dict(classes='ov-coco/all'),
        filter_cfg=dict(filter_empty_gt=True, in_test=True),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    type='glipkit.GroundingCocoMetric',
    ann_file='data/coco/annotations/ovd_ins_val2017_all.json',
    groups='ov-coco')
test_evaluator = val_evaluator
