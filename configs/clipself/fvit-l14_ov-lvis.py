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
    '../_base_/models/fvit_eva-b16_masks.py', '../_base_/datasets/ov_lvis_jitter.py',
    '../_base_/schedules/frozen_tower_long.py', '../_base_/runtime/default.py'
]
embed_dim = 768
strides = [3.5, 7, 14, 28]

load_from = 'eva_vitl14_lvis_clipself_patches.pt'
model = dict(
    data_preprocessor=dict(
        batch_augments=[dict(type='mmdet.BatchFixedSizePad', size=(896, 896))]),
    backbone=dict(image_size=336, patch=14, width=1024, layers=24, embed_dim=embed_dim),
    text_encoder=dict(width=768, heads=12, embed_dim=embed_dim),
    taps=(6, 10, 14, 23),
    neck=dict(in_channels=[1024] * 4),
    rpn_head=dict(anchor_generator=dict(strides=[*strides, 56])),
    roi_head=dict(
        bbox_head=dict(embed_dim=embed_dim),
        bbox_roi_extractor=dict(featmap_strides=strides),
        mask_roi_extractor=dict(featmap_strides=strides)),
    test_cfg=dict(beta=0.4))

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
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
