"""F-ViT with EVA-02 CLIP B/16: a frozen tower under a detector of any words (150 M + 37 M weights).

The numbers are those of the released OV-COCO detector.
"""
embed_dim = 512
norm = dict(type='BN')  # the runner makes it SyncBN where several processes train

model = dict(
    type='glipkit.FVit',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        # ImageNet's, though the tower learned with CLIP's: so the official detectors are.
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
        batch_augments=[dict(type='mmdet.BatchFixedSizePad', size=(640, 640))]),
    backbone=dict(
        type='glipkit.EvaViT', image_size=224, patch=16, width=768, layers=12, embed_dim=embed_dim),
    text_encoder=dict(
        type='glipkit.ClipTextEncoder', width=512, heads=8, layers=12, embed_dim=embed_dim,
        activation='gelu', tokenizer=dict(type='ClipBpeTokenizer', dialect='open_clip')),
    taps=(3, 5, 7, 11),
    norm_cfg=norm,
    neck=dict(
        type='mmdet.FPN', in_channels=[768] * 4, out_channels=256, num_outs=5, norm_cfg=norm),
    rpn_head=dict(
        type='mmdet.RPNHead',
        in_channels=256,
        feat_channels=256,
        num_convs=2,
        anchor_generator=dict(
            type='mmdet.AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0],
            strides=[4, 8, 16, 32, 64]),
        bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder'),
        loss_cls=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=dict(type='mmdet.L1Loss'),
        train_cfg=dict(
            assigner=dict(
                type='mmdet.MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3,
                match_low_quality=True, ignore_iof_thr=-1,
                iou_calculator=dict(type='mmdet.BboxOverlaps2D')),
            sampler=dict(
                type='mmdet.RandomSampler', num=256, pos_fraction=0.5, neg_pos_ub=-1,
                add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False),
        test_cfg=dict(
            nms_pre=2000, max_per_img=1000, nms=dict(type='nms', iou_threshold=0.7),
            min_bbox_size=0)),
    roi_head=dict(
        type='glipkit.FVitRoIHead',
        bbox_head=dict(
            type='glipkit.TextBoxHead', in_channels=256, embed_dim=embed_dim, norm_cfg=norm),
        bbox_roi_extractor=dict(
            type='mmdet.SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[4, 8, 16, 32]),
        loss_cls=dict(type='glipkit.FocalScaledClassLoss', background_weight=0.6, gamma=0.),
        sampler=dict(num_samples=512, positive_fraction=0.25, positive_iou=0.5)),
    templates='detection',
    max_tokens=77,
    test_cfg=dict(
        score_threshold=0.01, nms_iou=0.4, max_per_image=100, alpha=0.1, beta=0.8,
        vlm_temperature=75., base_classes='ov-coco/base'))
