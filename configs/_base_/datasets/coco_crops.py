"""COCO train2017 for a map that learns from crops: images alone, in grids; no box is read.

Layout: ``data/coco/{annotations/instances_train2017.json, train2017/}``. The list of LVIS's
training images (``lvis_v1_train.json``, the same pictures) takes its place by ``ann_file``.
"""
grid_pipeline = [
    dict(type='glipkit.LoadImage', imdecode_backend='fast'),
    dict(type='glipkit.GridProposals', max_split=6, max_boxes=20),
    # From the original image; black around what is not square, in the middle.
    dict(type='glipkit.CutCrops', size=224),
    dict(type='glipkit.WithProposals', transforms=[dict(type='glipkit.LongSideResize', size=1024)]),
    # Black on the right and at the bottom.
    dict(type='mmdet.Pad', size=(1024, 1024)),
    dict(type='glipkit.PackGrounding')
]
images = dict(
    type='glipkit.ImageProposals',
    data_root='data/coco/',
    ann_file='annotations/instances_train2017.json',
    data_prefix=dict(img='train2017/'),
    pipeline=grid_pipeline)
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='glipkit.DrawSampler'),
    dataset=dict(type='glipkit.MixedDataset', datasets=[images]))
