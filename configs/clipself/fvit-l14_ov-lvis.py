"""F-ViT L/14 on OV-LVIS, with masks: trains on 866 base classes, asked for 1,203 at once.

Command:
    torchrun --nproc_per_node=8 tools/train.py \\
        configs/clipself/fvit-l14_ov-lvis.py --launcher pytorch
    glipkit convert RELEASED.pth fvit.safetensors --text EVA02_CLIP_L_336_psz14_s6B.pt
    glipkit test configs/clipself/fvit-l14_ov-lvis.py fvit.safetensors
Hardware: 8 GPUs, global batch 64 (authors); not trained here
Time: not measured
Memory: not measured
Result: mask AP 34.9 rare, 34.6 common, 35.6 frequent, 35.1 all (published); not measured here

A larger beta raises the AP of rare classes, as the authors say.
"""
_base_ = [
    '../_base_/models/fvit_eva-b16.py', '../_base_/datasets/ov_lvis_jitter.py',
    '../_base_/schedules/frozen_tower_long.py', '../_base_/runtime/default.py'
]
embed_dim = 768
strides = [3.5, 7, 14, 28]
norm = dict(type='BN')

load_from = 'eva_vitl14_lvis_clipself_patches.pt'
model = dict(
    data_preprocessor=dict(
        batch_augments=[dict(type='mmdet.BatchFixedSizePad', size=(896, 896))]),
    backbone=dict(image_size=336, patch=14, width=1024, layers=24, embed_dim=embed_dim),
    text_encoder=dict(width=768, heads=12, embed_dim=embed_dim),
    taps=(6, 10, 14, 23),
    neck=dict(in_channels=[1024] * 4),
    rpn_head=dict(
        type='glipkit.NormedRPNHead', norm_cfg=norm, anchor_generator=dict(strides=[*strides, 56])),
    roi_head=dict(
        bbox_head=dict(embed_dim=embed_dim),
        bbox_roi_extractor=dict(featmap_strides=strides),
        mask_head=dict(
            type='mmdet.FCNMaskHead',
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            num_classes=1,
            class_agnostic=True,
            norm_cfg=norm,
            loss_mask=dict(type='mmdet.CrossEntropyLoss', use_mask=True)),
        mask_roi_extractor=dict(
            type='mmdet.SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=strides),
        loss_cls=dict(background_weight=0.9),
        sampler=dict(match_low_quality=True)),
    test_cfg=dict(
        score_threshold=1e-4, nms_iou=0.5, max_per_image=300, alpha=0.1, beta=0.4,
        vlm_temperature=50., base_classes='ov-lvis/base'))

train_pipeline = [
    dict(type='glipkit.LoadImage', imdecode_backend='fast'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(
        type='RandomResize', scale=(896, 896), ratio_range=(0.1, 2.0), keep_ratio=True,
        resize_type='mmdet.Resize'),
    dict(
        type='mmdet.RandomCrop', crop_type='absolute', crop_size=(896, 896), recompute_bbox=True,
        allow_negative_crop=True),
    dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2), keep_empty=False),
    dict(type='glipkit.PackGrounding')
]
test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.ShortSideResize', scale=(896, 896)),
    dict(type='glipkit.PackGrounding')
]
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(
                type='glipkit.LvisDetection',
                data_root='data/coco/',
                ann_file='annotations/lvis_v1_train.json',
                data_prefix=dict(img=''),
                metainfo=dict(classes='ov-lvis/base'),
                filter_cfg=dict(filter_empty_gt=True),
                max_boxes=500,
                with_masks=True,
                pipeline=train_pipeline)
        ]))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
