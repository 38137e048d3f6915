"""An F-ViT of some hundred thousand weights, and its config."""
from __future__ import annotations

from pathlib import Path

TINY_CONFIG = '''
default_scope = 'glipkit'
channels = 16
model = dict(
    type='FVit',
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor', mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375], bgr_to_rgb=True, pad_size_divisor=1),
    backbone=dict(type='EvaViT', image_size=64, width=32, layers=4, heads=2, embed_dim=64),
    text_encoder=dict(type='ClipTextEncoder', width=32, heads=2, layers=1, embed_dim=64,
                      activation='gelu'),
    taps=(0, 1, 2, 3),
    neck=dict(type='mmdet.FPN', in_channels=[32] * 4, out_channels=channels, num_outs=5,
              norm_cfg=dict(type='BN')),
    rpn_head=dict(
        type='mmdet.RPNHead', in_channels=channels, feat_channels=channels, num_convs=2,
        anchor_generator=dict(type='mmdet.AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0],
                              strides=[4, 8, 16, 32, 64]),
        bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder'),
        loss_cls=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=dict(type='mmdet.L1Loss'),
        train_cfg=dict(
            assigner=dict(type='mmdet.MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3,
                          min_pos_iou=0.3, match_low_quality=True, ignore_iof_thr=-1,
                          iou_calculator=dict(type='mmdet.BboxOverlaps2D')),
            sampler=dict(type='mmdet.RandomSampler', num=64, pos_fraction=0.5, neg_pos_ub=-1,
                         add_gt_as_proposals=False),
            allowed_border=-1, pos_weight=-1, debug=False),
        test_cfg=dict(nms_pre=200, max_per_img=30, nms=dict(type='nms', iou_threshold=0.7),
                      min_bbox_size=0)),
    roi_head=dict(
        type='FVitRoIHead',
        bbox_head=dict(type='TextBoxHead', in_channels=channels, embed_dim=64),
        bbox_roi_extractor=dict(
            type='mmdet.SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=channels, featmap_strides=[4, 8, 16, 32]),
        sampler=dict(num_samples=32)),
    templates='name',
    test_cfg=dict(score_threshold=0.001, max_per_image=10))
test_pipeline = [
    dict(type='mmdet.LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='ShortSideResize', scale=(96, 96)),
    dict(type='PackGrounding')
]
'''

#: Parts of a model's ``roi_head`` that give it masks.
MASKS = dict(
    mask_head=dict(
        type='mmdet.FCNMaskHead', num_convs=4, in_channels=16, conv_out_channels=16, num_classes=1,
        class_agnostic=True, norm_cfg=dict(type='BN'),
        loss_mask=dict(type='mmdet.CrossEntropyLoss', use_mask=True)),
    mask_roi_extractor=dict(
        type='mmdet.SingleRoIExtractor', out_channels=16, featmap_strides=[4, 8, 16, 32],
        roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0)))


def write_config(folder: Path, name: str = 'tiny_fvit.py') -> Path:
    """Writes the tiny model's config; the stem of the file is the model's name in messages."""
    path = folder / name
    path.write_text(TINY_CONFIG, encoding='utf-8')
    return path
