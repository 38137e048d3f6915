"""The things world: boxes and captions to train on, AP of base and novel names to test.

Made by ``glipkit world things --out data/things``. Detectors see the pictures half as large as they
are drawn: a small thing is then smaller than a cell of a map of stride 16.
"""
data_root = 'data/things/'
image_scale = (160, 96)

base_names = [
    f'{colour} {shape}'
    for i, colour in enumerate('red green blue yellow purple orange pink'.split())
    for j, shape in enumerate('circle square triangle star cross heart'.split())
    if (i + j) % 2 == 0
]
novel_names = [
    f'{colour} {shape}'
    for i, colour in enumerate('red green blue yellow purple orange pink'.split())
    for j, shape in enumerate('circle square triangle star cross heart'.split())
    if (i + j) % 2 == 1
]

pair_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='glipkit.ShortSideResize', scale=image_scale),
    dict(type='mmdet.RandomFlip', prob=0.5),
    # Captions say "left of" and "right of".
    dict(type='glipkit.SwapLeftRight'),
    dict(type='glipkit.PackGrounding')
]
train_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.ShortSideResize', scale=image_scale),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='glipkit.PackGrounding')
]
test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.ShortSideResize', scale=image_scale),
    dict(type='glipkit.PackGrounding')
]

pairs = dict(
    type='glipkit.ImageCaptions',
    data_root=data_root,
    ann_file='annotations/grd_train.jsonl',
    data_prefix=dict(img='images/train_grd/'))
base_boxes = dict(
    type='glipkit.CocoDetection',
    data_root=data_root,
    ann_file='annotations/det_train.json',
    data_prefix=dict(img='images/train_det/'),
    metainfo=dict(classes=base_names),
    filter_cfg=dict(filter_empty_gt=True))

test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='glipkit.CocoDetection',
        data_root=data_root,
        ann_file='annotations/val.json',
        data_prefix=dict(img='images/val/'),
        test_mode=True,
        pipeline=test_pipeline))
test_evaluator = dict(
    type='glipkit.GroundingCocoMetric',
    ann_file=data_root + 'annotations/val.json',
    groups=dict(base=base_names, novel=novel_names))
test_cfg = dict(type='TestLoop')
