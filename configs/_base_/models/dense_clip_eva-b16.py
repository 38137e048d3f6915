"""CLIPSelf with EVA-02 CLIP B/16: patches with embeddings, and any words (150 M parameters).

Boxes come from a grid, which needs no weights; recipes name other sources.
"""
embed_dim = 512

model = dict(
    type='glipkit.DenseClip',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        # CLIP's RGB statistics times 255; the model pads each image itself, in black.
        mean=[122.7709383, 116.7460125, 104.09373615],
        std=[68.5005327, 66.6321579, 70.32316305],
        bgr_to_rgb=True,
        pad_size_divisor=1),
    backbone=dict(
        type='glipkit.EvaViT', image_size=224, patch=16, width=768, layers=12, embed_dim=embed_dim),
    text_encoder=dict(
        type='glipkit.ClipTextEncoder', width=512, heads=8, layers=12, embed_dim=embed_dim,
        activation='gelu', tokenizer=dict(type='ClipBpeTokenizer', dialect='open_clip')),
    box_source=dict(type='glipkit.GridBoxes'),
    templates='detection',
    temperature=0.01,
    max_tokens=77,
    # EVA-02's positions are made for squares, and CLIPSelf pads to one.
    square=True,
    test_cfg=dict(score_threshold=0.001, nms_iou=0.5, max_per_image=100))
