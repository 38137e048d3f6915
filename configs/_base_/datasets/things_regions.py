"""The things world for a map that learns from crops: pictures alone, or with boxes without labels.

Made by ``glipkit world things --out data/things``.
"""
_base_ = './things.py'
# Less than they are drawn: attention takes half the time.
image_size = 160

grid_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    # Crops larger than their cells show more things whole, as the teacher knows them: that brings
    # more than as many iterations again.
    dict(type='glipkit.GridProposals', max_split=6, max_boxes=20, crop_scale=1.5),
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

pictures = dict(
    type='glipkit.ImageProposals',
    data_root=_base_.data_root,
    ann_file='annotations/det_train.json',
    data_prefix=dict(img='images/train_det/'),
    pipeline=grid_pipeline)
