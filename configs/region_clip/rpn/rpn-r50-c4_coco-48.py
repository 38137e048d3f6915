"""RegionCLIP's proposal network for COCO: R50-C4, taught on the 48 base classes.

An mmdet model for `glipkit.FrozenRPN`; its weights are rpn_coco_48.pth of RegionCLIP, and those of
rpn_coco_65.pth and rpn_coco_80.pth fit too.
"""
model = dict(
    type='mmdet.RPN',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[103.53, 116.28, 123.675],
        std=[1., 1., 1.],
        bgr_to_rgb=False,
        pad_size_divisor=1),
    backbone=dict(
        type='mmdet.ResNet',
        depth=50,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2, ),
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        style='caffe'),
    rpn_head=dict(
        type='mmdet.RPNHead',
        in_channels=1024,
        feat_channels=1024,
        anchor_generator=dict(
            type='mmdet.AnchorGenerator',
            scales=[2, 4, 8, 16, 32],
            ratios=[0.5, 1., 2.],
            strides=[16],
            scale_major=False),
        bbox_coder=dict(
            type='mmdet.DeltaXYWHBBoxCoder',
            target_means=[0., 0., 0., 0.],
            target_stds=[1., 1., 1., 1.]),
        loss_cls=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=dict(type='mmdet.L1Loss')),
    test_cfg=dict(rpn=dict(nms_pre=6000, max_per_img=1000, nms=dict(type='nms', iou_threshold=0.7),
                           min_bbox_size=0)))
