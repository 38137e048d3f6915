"""OV-COCO in squares of 640 pixels: sizes from a tenth to twice as large in training.

Files as in ov_coco.py. The model fills each image up to the square.
"""
_base_ = './ov_coco.py'

train_pipeline = [
    dict(type='glipkit.LoadImage', imdecode_backend='fast'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(
        type='RandomResize', scale=(640, 640), ratio_range=(0.1, 2.0), keep_ratio=True,
        resize_type='mmdet.Resize'),
    dict(
        type='mmdet.RandomCrop', crop_type='absolute', crop_size=(640, 640), recompute_bbox=True,
        allow_negative_crop=True),
    dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2), keep_empty=False),
    dict(type='glipkit.PackGrounding')
]
test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.ShortSideResize', scale=(640, 640)),
    dict(type='glipkit.PackGrounding')
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
