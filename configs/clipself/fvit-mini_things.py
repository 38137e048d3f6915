"""F-ViT in miniature: boxes of 21 base names train the detector, which is asked for 42 at once.

Command:
    glipkit world things --out data/things
    glipkit train configs/clipself/fvit-mini_things.py --cfg-options load_from=TOWER
    glipkit test configs/clipself/fvit-mini_things.py glipkit/weights/fvit-mini.safetensors
    glipkit predict data/things/images/val --config fvit-mini --classes "red circle, blue star"
Hardware: one CPU thread, no GPU
Time: 500 iterations of 6 pictures, 0.27 s of processor time each (AMD EPYC): 140 s
Memory: 1.2 GB at the peak of the process
Result: AP50 79.3 of base names, 50.7 of the others, 65.0 of all

TOWER holds an image tower and its text encoder: glipkit/weights/clipself-mini.safetensors, or what
clip-vit-mini_things.py has trained, for a detector on a plain tower. More in
glipkit/weights/fvit-mini.md.
"""
_base_ = [
    '../_base_/models/clip_vit_mini.py', '../_base_/datasets/things.py',
    '../_base_/runtime/default.py'
]
# A map of 16 x 16 cells: half as many as in the distillation, and a sixth of its time.
image_size = 128
channels = 48
norm = dict(type='BN')
strides = [2, 4, 8, 16]

model = dict(
    type='glipkit.FVit',
    backbone=_base_.clip_tower,
    text_encoder=_base_.clip_words,
    data_preprocessor=_base_.clip_input,
    taps=(1, 2, 3, 5),
    norm_cfg=norm,
    neck=dict(
        type='mmdet.FPN', in_channels=[_base_.clip_tower.width] * 4, out_channels=channels,
        num_outs=5, norm_cfg=norm),
    rpn_head=dict(
        type='mmdet.RPNHead',
        in_channels=channels,
        feat_channels=channels,
        num_convs=2,
        anchor_generator=dict(
            type='mmdet.AnchorGenerator', scales=[6], ratios=[1.0], strides=[*strides, 32]),
        bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder'),
        loss_cls=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=dict(type='mmdet.L1Loss'),
        train_cfg=dict(
            assigner=dict(
                type='mmdet.MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3,
                match_low_quality=True, ignore_iof_thr=-1,
                iou_calculator=dict(type='mmdet.BboxOverlaps2D')),
            sampler=dict(
                type='mmdet.RandomSampler', num=128, pos_fraction=0.5, neg_pos_ub=-1,
                add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False),
        test_cfg=dict(
            nms_pre=300, max_per_img=50, nms=dict(type='nms', iou_threshold=0.7),
            min_bbox_size=0)),
    roi_head=dict(
        type='glipkit.FVitRoIHead',
        bbox_head=dict(
            type='glipkit.TextBoxHead', in_channels=channels, embed_dim=64, num_convs=2,
            norm_cfg=norm),
        bbox_roi_extractor=dict(
            type='mmdet.SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=2),
            out_channels=channels,
            featmap_strides=strides,
            finest_scale=28),
        sampler=dict(num_samples=48)),
    templates='name',
    test_cfg=dict(
        score_threshold=0.01, nms_iou=0.4, max_per_image=100, alpha=0.1, beta=0.8,
        vlm_temperature=50., base_classes=_base_.base_names))

train_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.LongSideResize', size=image_size),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='glipkit.PackGrounding')
]
test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.LongSideResize', size=image_size),
    dict(type='glipkit.PackGrounding')
]
train_dataloader = dict(
    batch_size=6,
    num_workers=0,
    sampler=dict(type='glipkit.DrawSampler'),
    dataset=dict(
        type='glipkit.MixedDataset', pipeline=train_pipeline, datasets=[_base_.base_boxes]))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
max_iters = 500
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=10.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=30, end=max_iters, eta_min=1e-5)
]
default_hooks = dict(checkpoint=dict(interval=100))
