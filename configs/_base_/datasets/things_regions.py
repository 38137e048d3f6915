"""The things world for a map that learns from crops: pictures alone, or with boxes without labels.

Made by ``glipkit world things --out data/things``.
"""
_base_ = './things.py'
image_size = 192

grid_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='glipkit.GridProposals', max_split=6, max_boxes=12),
    dict(type='glipkit.CutCrops', size=48),
    dict(
        type='glipkit.WithProposals',
        transforms=[dict(type='glipkit.LongSideResize', size=image_size)]),
    dict(type='mmdet.Pad', size=(image_size, image_size)),
    dict(type='glipkit.PackGrounding')
]
proposal_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='glipkit.DrawProposals', max_boxes=12, crop_scale=1.5),
    dict(type='glipkit.CutCrops', size=48),
    dict(
        type='glipkit.WithProposals',
        transforms=[dict(type='glipkit.LongSideResize', size=image_size)]),
    dict(type='mmdet.Pad', size=(image_size, image_size)),
    dict(type='glipkit.PackGrounding')
]
test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.LongSideResize', size=image_size),
    dict(type='glipkit.PackGrounding')
]

pictures = dict(
    type='glipkit.ImageProposals',
    data_root=_base_.data_root,
    ann_file='annotations/det_train.json',
    data_prefix=dict(img='images/train_det/'),
    pipeline=grid_pipeline)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='glipkit.DrawSampler'),
    dataset=dict(type='glipkit.MixedDataset', datasets=[pictures]))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
