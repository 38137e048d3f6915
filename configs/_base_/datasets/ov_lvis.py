"""OV-LVIS: 866 frequent and common classes to train on, 1,203 asked at once to test (generalised).

Layout: ``data/coco/{annotations/lvis_v1_train.json, annotations/lvis_v1_val.json, train2017/,
val2017/}``. Rare classes are left out of training by their letter, with their boxes. Images without
a box are dropped, in validation too, so that it has fewer than 19,809.

Images of rare base classes are repeated as in the LVIS paper (section 4), each factor rounded up;
the official code draws between the two whole numbers.
"""
train_pipeline = [
    dict(type='glipkit.LoadImage', imdecode_backend='fast'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False),
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
    type='glipkit.LvisDetection',
    data_root='data/coco/',
    ann_file='annotations/lvis_v1_train.json',
    data_prefix=dict(img=''),
    metainfo=dict(classes='ov-lvis/base'),
    filter_cfg=dict(filter_empty_gt=True),
    max_boxes=500,
    with_masks=True,
    pipeline=train_pipeline)
repeated = dict(type='mmdet.ClassBalancedDataset', oversample_thr=0.001, dataset=base_boxes)
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='glipkit.DrawSampler'),
    dataset=dict(type='glipkit.MixedDataset', datasets=[repeated]))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='glipkit.LvisDetection',
        data_root='data/coco/',
        ann_file='annotations/lvis_v1_val.json',
        data_prefix=dict(img=''),
        metainfo=dict(classes='ov-lvis/all'),
        filter_cfg=dict(filter_empty_gt=True, in_test=True),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

# Boxes are taken as they are: only Li et al., CVPR 2022 measure them a pixel smaller.
val_evaluator = dict(
    type='glipkit.LvisMetric',
    ann_file='data/coco/annotations/lvis_v1_val.json',
    bound='capped',
    groups='ov-lvis',
    trim_pixel=False)
test_evaluator = val_evaluator
