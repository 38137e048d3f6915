"""The mini model whose weights come with glipkit: more pictures, a longer schedule.

Commands:
    python data_prep/shapes.py --out data/shapes_long --train-det 4000 --train-grd 4000
    glipkit train configs/glip/glip-mini_shapes_long.py
Result and hardware: glipkit/weights/glip-mini.md
"""
_base_ = './glip-mini_shapes.py'

max_iters = 3000
data_root = 'data/shapes_long/'
validation = dict(data_root=data_root)

train_dataloader = dict(
    dataset=dict(datasets=[
        dict(
            type='CocoDetection',
            data_root=data_root,
            ann_file='annotations/det_train.json',
            data_prefix=dict(img='images/train_det/')),
        dict(
            type='OdvgGrounding',
            data_root=data_root,
            ann_file='annotations/grd_train.jsonl',
            data_prefix=dict(img='images/train_grd/'))
    ]))
val_dataloader = dict(dataset=validation)
test_dataloader = dict(dataset=validation)
val_evaluator = dict(
    ann_file=data_root + 'annotations/val.json', groups=data_root + 'annotations/splits.json')
test_evaluator = val_evaluator

train_cfg = dict(max_iters=max_iters, val_interval=1000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=max_iters, eta_min=1e-5)
]
default_hooks = dict(checkpoint=dict(interval=500))
