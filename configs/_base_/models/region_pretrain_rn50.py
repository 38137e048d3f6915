"""RegionCLIP's pre-training with CLIP's RN50 as student and as teacher."""
embed_dim = 1024

model = dict(
    type='glipkit.RegionClipPretrainer',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        # CLIP's RGB statistics times 255; the map of stride 16 needs no padding.
        mean=[122.7709383, 116.7460125, 104.09373615],
        std=[68.5005327, 66.6322122, 70.32316305],
        bgr_to_rgb=True,
        pad_size_divisor=1),
    backbone=dict(type='glipkit.ClipResNet', variant='rn50'),
    text_encoder=dict(type='glipkit.ClipTextEncoder', width=512, heads=8, embed_dim=embed_dim),
    box_source=dict(
        type='glipkit.FrozenRPN',
        config='configs/region_clip/rpn/rpn-r50-fpn_lvis-866.py',
        checkpoint='rpn_lvis_866.pth',
        nms=0.5,
        max_boxes=300),
    concepts='coco_nouns_4764_rn50.safetensors',
    regions=100,
    threshold=0.1,
    temperature=0.01,
    loss_weights=dict(contrast=1., distill=1., caption=1.))
