"""Objects365 as lines; evaluation on COCO val2017, zero-shot.

Layout: ``data/objects365/{annotations/, train/}``, the annotations made by
``glipkit prepare objects365 --train zhiyuan_objv2_train.json --out data/objects365``, and
``data/coco/{annotations/instances_val2017.json, val2017/}``.
"""
# Input of the official code: Pillow's pixels, five training scales, flip, no crop. Training uses
# OpenCV for images where its pixels differ from Pillow's by one level of 255 at most.
train_pipeline = [
    # Also takes images that lie inside tar and tsv files.
    dict(type='glipkit.LoadImage', imdecode_backend='fast'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(
        type='RandomChoiceResize',
        scales=[(1333, 480), (1333, 560), (1333, 640), (1333, 720), (1333, 800)],
        resize_type='glipkit.ShortSideResize',
        backend='fast'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='glipkit.SampleClassPrompt', num_negatives=85, full_prob=0.5, max_tokens=254),
    dict(type='glipkit.PackGrounding')
]

test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='glipkit.ShortSideResize', scale=(1333, 800)),
    # Behind the resizing: in the frame of the image itself, as pictures of results need it.
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.PackGrounding')
]

objects365 = dict(
    type='glipkit.OdvgGrounding',
    data_root='data/objects365/',
    ann_file='annotations/objects365_train.jsonl',
    label_map_file='annotations/objects365_train_label_map.json',
    data_prefix=dict(img='train/'))
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='glipkit.DrawSampler'),
    dataset=dict(type='glipkit.MixedDataset', pipeline=train_pipeline, datasets=[objects365]))
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
