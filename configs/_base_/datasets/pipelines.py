"""Input pipelines of the official code: Pillow's pixels, five training scales, flip, no crop.

In training OpenCV takes over where its pixels are Pillow's, give or take one level of 255.
"""
train_pipeline = [
    # Also takes images that lie inside tar and tsv files.
    dict(type='LoadImage', imdecode_backend='fast'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(
        type='mmdet.RandomChoiceResize',
        scales=[(1333, 480), (1333, 560), (1333, 640), (1333, 720), (1333, 800)],
        resize_type='ShortSideResize',
        backend='fast'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='SampleClassPrompt', num_negatives=85, full_prob=0.5, max_tokens=254),
    dict(type='PackGrounding')
]

test_pipeline = [
    dict(type='mmdet.LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='ShortSideResize', scale=(1333, 800)),
    dict(type='PackGrounding')
]
