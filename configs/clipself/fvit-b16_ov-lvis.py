"""F-ViT B/16 on OV-LVIS, with masks: trains on 866 base classes, asked for 1,203 at once.

Command:
    torchrun --nproc_per_node=8 tools/train.py \\
        configs/clipself/fvit-b16_ov-lvis.py --launcher pytorch
    glipkit convert RELEASED.pth fvit.safetensors --text EVA02_CLIP_B_psz16_s8B.pt
    glipkit test configs/clipself/fvit-b16_ov-lvis.py fvit.safetensors
Hardware: 8 GPUs, global batch 64 (authors); not trained here
Time: not measured
Memory: not measured
Result: mask AP 25.3 rare, 21.8 common, 29.1 frequent, 25.2 all (published); not measured here
"""
_base_ = [
    '../_base_/models/fvit_eva-b16.py', '../_base_/datasets/ov_lvis_jitter.py',
    '../_base_/schedules/frozen_tower_long.py', '../_base_/runtime/default.py'
]
norm = dict(type='BN')

load_from = 'eva_vitb16_lvis_clipself_patches.pt'
model = dict(
    data_preprocessor=dict(
        batch_augments=[dict(type='mmdet.BatchFixedSizePad', size=(1024, 1024))]),
    rpn_head=dict(type='glipkit.NormedRPNHead', norm_cfg=norm),
    roi_head=dict(
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
            featmap_strides=[4, 8, 16, 32]),
        loss_cls=dict(background_weight=0.9),
        sampler=dict(match_low_quality=True)),
    test_cfg=dict(
        score_threshold=1e-4, nms_iou=0.5, max_per_image=300, alpha=0.1, beta=0.6,
        vlm_temperature=50., base_classes='ov-lvis/base'))
