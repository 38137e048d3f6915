"""RegionCLIP RN50: CLIP's ResNet-50 reads regions, its text encoder any words (102 M parameters).

Boxes come from a grid, which needs no weights; recipes name other sources.
"""
embed_dim = 1024

model = dict(
    type='glipkit.ClipRCNN',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        # CLIP's RGB statistics times 255; the map of stride 16 needs no padding.
        mean=[122.7709383, 116.7460125, 104.09373615],
        std=[68.5005327, 66.6321579, 70.32316305],
        bgr_to_rgb=True,
        pad_size_divisor=1),
    backbone=dict(type='glipkit.ClipResNet', variant='rn50'),
    text_encoder=dict(type='glipkit.ClipTextEncoder', width=512, heads=8, embed_dim=embed_dim),
    roi_head=dict(type='glipkit.ClipRoIHead', embed_dim=embed_dim),
    box_source=dict(type='glipkit.GridBoxes'),
    templates='imagenet_and_name',
    temperature=0.01,
    max_tokens=77,
    # The score is the class's alone. Boxes move once the box layer was trained.
    test_cfg=dict(
        score_threshold=0.001, nms_iou=0.5, max_per_image=100, regress_boxes=True, fusion='none'))
