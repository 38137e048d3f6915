"""OV-LVIS in squares of 1024 pixels: sizes from a tenth to twice as large in training.

Files as in ov_lvis.py; no image is repeated. The model fills each image up to the square.
"""
_base_ = './ov_lvis.py'

train_pipeline = [
    dict(type='glipkit.LoadImage', imdecode_backend='fast'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(
        type='RandomResize', scale=(1024, 1024), ratio_range=(0.1, 2.0), keep_ratio=True,
        resize_type='mmdet.Resize'),
    dict(
        type='mmdet.RandomCrop', crop_type='absolute', crop_size=(1024, 1024), recompute_bbox=True,
        allow_negative_crop=True),
    dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2), keep_empty=False),
    dict(type='glipkit.PackGrounding')
]
test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.ShortSideResize', scale=(1024, 1024)),
    dict(type='glipkit.PackGrounding')
]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type='glipkit.MixedDataset',
        pipeline=train_pipeline,
        datasets=[
            dict(
                type='glipkit.LvisDetection',
                data_root='data/coco/',
                ann_file='annotations/lvis_v1_train.json',
                data_prefix=dict(img=''),
                metainfo=dict(classes='ov-lvis/base'),
                filter_cfg=dict(filter_empty_gt=True),
                max_boxes=500,
                with_masks=True)
        ]))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
