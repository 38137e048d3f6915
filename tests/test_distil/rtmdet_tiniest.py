"""A student for tests: RTMDet as in mmdet's configs, with hardly any channels."""
norm = dict(type='SyncBN')
model = dict(
    type='RTMDet',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[103.53, 116.28, 123.675],
                           std=[57.375, 57.12, 58.395], bgr_to_rgb=False),
    backbone=dict(type='CSPNeXt', arch='P5', expand_ratio=0.5, deepen_factor=0.1,
                  widen_factor=0.0625, channel_attention=True, norm_cfg=norm,
                  act_cfg=dict(type='SiLU'),
                  init_cfg=dict(type='Pretrained', checkpoint='https://example.org/never.pth')),
    neck=dict(type='CSPNeXtPAFPN', in_channels=[16, 32, 64], out_channels=16, num_csp_blocks=1,
              expand_ratio=0.5, norm_cfg=norm, act_cfg=dict(type='SiLU')),
    bbox_head=dict(
        type='RTMDetSepBNHead', num_classes=80, in_channels=16, stacked_convs=1, feat_channels=16,
        anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0), with_objectness=False, norm_cfg=norm,
        act_cfg=dict(type='SiLU')),
    train_cfg=dict(assigner=dict(type='DynamicSoftLabelAssigner', topk=13), allowed_border=-1,
                   pos_weight=-1, debug=False),
    test_cfg=dict(nms_pre=30000, min_bbox_size=0, score_thr=0.001,
                  nms=dict(type='nms', iou_threshold=0.65), max_per_img=300))
