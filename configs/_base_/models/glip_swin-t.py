"""GLIP-T with deep fusion: Swin-T, FPN, BERT-base, six fused DyHead blocks (232 M parameters)."""
channels = 256
text_dim = 768
num_blocks = 6

model = dict(
    type='glipkit.GLIP',
    max_tokens=256,
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        # The official order is BGR.
        mean=[103.530, 116.280, 123.675],
        std=[57.375, 57.120, 58.395],
        bgr_to_rgb=False,
        pad_size_divisor=32),
    backbone=dict(
        type='glipkit.SwinTransformer',
        embed_dims=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        mlp_ratio=4,
        qkv_bias=True,
        drop_path_rate=0.2,
        patch_norm=True,
        # Blocks are computed again in the backward pass: a tenth more time, half the memory.
        with_cp=True,
        out_indices=(1, 2, 3)),
    neck=dict(
        type='glipkit.DropBlockFPN',
        in_channels=[192, 384, 768],
        out_channels=channels,
        num_outs=5,
        drop_prob=0.3,
        block_size=3),
    text_encoder=dict(type='glipkit.BertEncoder'),
    bbox_head=dict(
        type='glipkit.GLIPHead',
        in_channels=channels,
        text_dim=text_dim,
        num_blocks=num_blocks,
        fusion=dict(
            type='glipkit.BiAttention',
            visual_dim=channels,
            text_dim=text_dim,
            embed_dim=2048,
            num_heads=8,
            dropout=0.1,
            init_gamma=1 / num_blocks),
        text_layer=dict(
            type='glipkit.BertLayer',
            hidden_size=text_dim,
            num_heads=12,
            intermediate_size=3072,
            clamp=50000.),
        dyconv=dict(type='glipkit.DyConv', channels=channels, num_groups=16),
        strides=(8, 16, 32, 64, 128),
        anchor_scale=8,
        # Recomputed as the blocks of the backbone; the official code recomputes the fusion alone.
        with_cp=True),
    test_cfg=dict(score_threshold=0.05, nms_pre=1000, nms_iou=0.6, max_per_image=100))
