"""F-ViT L/14, trained on LVIS, asked for the 80 classes of COCO without training on them.

Command:
    glipkit convert RELEASED.pth fvit.safetensors --text EVA02_CLIP_L_336_psz14_s6B.pt
    glipkit test configs/clipself/fvit-l14_lvis_on-coco.py fvit.safetensors
Hardware: a GPU; trained on 8 (authors)
Time: not measured
Memory: not measured
Result: AP 40.5, AP50 63.8, AP75 44.3 (published); not measured here

All classes are blended alike. For Objects365 and VOC the authors take 0.3 instead of 0.2:
`--cfg-options model.test_cfg.alpha=0.3 model.test_cfg.beta=0.3`.
"""
_base_ = [
    '../_base_/models/fvit_eva-b16.py', '../_base_/datasets/coco_regions.py',
    '../_base_/runtime/default.py'
]
embed_dim = 768
strides = [3.5, 7, 14, 28]

model = dict(
    backbone=dict(image_size=336, patch=14, width=1024, layers=24, embed_dim=embed_dim),
    text_encoder=dict(width=768, heads=12, embed_dim=embed_dim),
    taps=(6, 10, 14, 23),
    neck=dict(in_channels=[1024] * 4),
    rpn_head=dict(
        type='glipkit.NormedRPNHead', norm_cfg=dict(type='BN'),
        anchor_generator=dict(strides=[*strides, 56])),
    roi_head=dict(
        bbox_head=dict(embed_dim=embed_dim),
        bbox_roi_extractor=dict(featmap_strides=strides)),
    test_cfg=dict(
        score_threshold=1e-4, nms_iou=0.5, max_per_image=300, alpha=0.2, beta=0.2,
        vlm_temperature=120., detector_temperature=50., base_classes=None))

test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.ShortSideResize', scale=(896, 896)),
    dict(type='glipkit.PackGrounding')
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
