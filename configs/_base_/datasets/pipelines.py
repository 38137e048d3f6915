"""Input pipelines of the official code: Pillow decoding, five training scales, flip, no crop."""
train_pipeline = [
    dict(type='mmdet.LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(
        type='mmdet.RandomChoiceResize',
        scales=[(1333, 480), (1333, 560), (1333, 640), (1333, 720), (1333, 800)],
        resize_type='GlipResize'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='SampleClassPrompt', num_negatives=85, full_prob=0.5, max_tokens=254),
    dict(type='PackGrounding')
]

test_pipeline = [
    dict(type='mmdet.LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='GlipResize', scale=(1333, 800)),
    dict(type='PackGrounding')
]
