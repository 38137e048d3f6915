"""The stamps world, photographs of real things: same layout as the shapes world. Made by
``glipkit world stamps --out data/stamps``.
"""
_base_ = './shapes.py'

data_root = 'data/stamps/'
# Half as large again as the pictures: things have the size at which ImageNet's classes were learnt.
image_scale = (640, 384)

loading = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.ShortSideResize', scale=image_scale),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='glipkit.SwapLeftRight')
]
class_prompt = dict(
    type='glipkit.SampleClassPrompt', num_negatives=20, full_prob=0.5, max_tokens=126)
packing = dict(type='glipkit.PackGrounding')
train_pipeline = [*loading, class_prompt, packing]
test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='glipkit.ShortSideResize', scale=image_scale),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.PackGrounding')
]
validation = dict(data_root=data_root, pipeline=test_pipeline)

detection = dict(
    type='glipkit.CocoDetection',
    data_root=data_root,
    ann_file='annotations/det_train.json',
    data_prefix=dict(img='images/train_det/'))
grounding = dict(
    type='glipkit.OdvgGrounding',
    data_root=data_root,
    ann_file='annotations/grd_train.jsonl',
    data_prefix=dict(img='images/train_grd/'))

train_dataloader = dict(
    dataset=dict(pipeline=train_pipeline, datasets=[detection, grounding]))
val_dataloader = dict(dataset=validation)
test_dataloader = dict(dataset=validation)
val_evaluator = dict(
    ann_file=data_root + 'annotations/val.json', groups=data_root + 'annotations/splits.json')
test_evaluator = val_evaluator
