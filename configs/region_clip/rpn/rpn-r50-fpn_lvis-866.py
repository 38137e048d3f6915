"""RegionCLIP's proposal network of its pre-training: R50-FPN, taught on 866 LVIS classes.

An mmdet model for `glipkit.FrozenRPN`; its weights are rpn_lvis_866.pth of RegionCLIP.
"""
_base_ = 'rpn-r50-c4_coco-48.py'

model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        num_stages=4, strides=(1, 2, 2, 2), dilations=(1, 1, 1, 1), out_indices=(0, 1, 2, 3)),
    neck=dict(
        type='mmdet.FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5),
    rpn_head=dict(
        in_channels=256,
        feat_channels=256,
        anchor_generator=dict(scales=[8], strides=[4, 8, 16, 32, 64])),
    test_cfg=dict(rpn=dict(nms_pre=1000)))
