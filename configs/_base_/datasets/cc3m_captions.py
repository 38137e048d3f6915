"""CC3M as WebDataset shards: an image, one of its captions, shortest side 800, bicubic, flips.

The official package of the data was never published; img2dataset writes such shards. A pair of
tsv tables as the official code reads them works as well: ann_file='captions.tsv',
img_file='images.tsv'.
"""
train_pipeline = [
    dict(type='glipkit.LoadImage'),
    dict(
        type='glipkit.WithProposals',
        transforms=[
            dict(type='glipkit.ShortSideResize', scale=(1333, 800), interpolation='bicubic'),
            dict(type='mmdet.RandomFlip', prob=0.5)
        ]),
    dict(type='glipkit.PackGrounding')
]
train_dataloader = dict(
    batch_size=3,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='glipkit.DrawSampler'),
    dataset=dict(
        type='glipkit.MixedDataset',
        datasets=[
            dict(
                type='glipkit.ImageCaptions',
                ann_file='data/cc3m',
                max_captions=5,
                pipeline=train_pipeline)
        ]))
