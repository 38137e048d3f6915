"""ADE20K, a class for every pixel: ``glipkit test clipself-b16 FILE --data ade20k_semantic``.

Layout: ``data/ADEChallengeData2016/{images,annotations}/validation/``, as it is released: 150
classes, 0 is not scored. For models with a dense map; mean IoU.
"""
test_pipeline = [
    dict(type='glipkit.LoadImage'),
    dict(type='glipkit.LoadLabels'),
    dict(type='glipkit.LongSideResize', size=1024),
    dict(type='glipkit.PackGrounding')
]
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='glipkit.SemanticLabels',
        data_root='data/ADEChallengeData2016/',
        metainfo=dict(classes='ade20k'),
        convention='ade20k',
        data_prefix=dict(img='images/validation/', seg='annotations/validation/'),
        test_mode=True,
        pipeline=test_pipeline))
test_evaluator = dict(type='glipkit.SemanticMetric')
test_cfg = dict(type='TestLoop')
