"""The things world, a class for every pixel of a thing: ``--data things_semantic``.

Made by ``glipkit world things --out data/things --masks``; backgrounds are not scored.
"""
_base_ = './ade20k_semantic.py'

test_pipeline = [
    dict(type='glipkit.LoadImage'),
    dict(type='glipkit.LoadLabels'),
    dict(type='glipkit.LongSideResize', size=192),
    dict(type='glipkit.PackGrounding')
]
test_dataloader = dict(
    num_workers=0,
    dataset=dict(
        data_root='data/things/',
        metainfo=dict(classes='annotations/classes.txt'),
        data_prefix=dict(img='images/val/', seg='annotations/labels/val/'),
        pipeline=test_pipeline))
