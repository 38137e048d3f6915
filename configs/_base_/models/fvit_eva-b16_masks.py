"""F-ViT with EVA-02 CLIP B/16 and masks of no class in particular.

The numbers are those of the released OV-LVIS detector.
"""
_base_ = './fvit_eva-b16.py'

norm = dict(type='BN')

model = dict(
    data_preprocessor=dict(
        batch_augments=[dict(type='mmdet.BatchFixedSizePad', size=(1024, 1024))]),
    rpn_head=dict(type='glipkit.NormedRPNHead', norm_cfg=norm),
    roi_head=dict(
        mask_head=dict(
            type='mmdet.FCNMaskHead',
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            num_classes=1,
            class_agnostic=True,
            norm_cfg=norm,
            loss_mask=dict(type='mmdet.CrossEntropyLoss', use_mask=True)),
        mask_roi_extractor=dict(
            type='mmdet.SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[4, 8, 16, 32]),
        loss_cls=dict(background_weight=0.9),
        sampler=dict(match_low_quality=True)),
    test_cfg=dict(
        score_threshold=1e-4, nms_iou=0.5, max_per_image=300, alpha=0.1, beta=0.6,
        vlm_temperature=50., base_classes='ov-lvis/base'))
