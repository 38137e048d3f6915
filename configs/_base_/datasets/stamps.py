"""The stamps world, photographs of real things: same layout as the shapes world. Made by
``glipkit world stamps --out data/stamps``.
"""
_base_ = './shapes.py'

data_root = 'data/stamps/'
validation = dict(data_root=data_root)

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

train_dataloader = dict(dataset=dict(datasets=[detection, grounding]))
val_dataloader = dict(dataset=validation)
test_dataloader = dict(dataset=validation)
val_evaluator = dict(
    ann_file=data_root + 'annotations/val.json', groups=data_root + 'annotations/splits.json')
test_evaluator = val_evaluator
