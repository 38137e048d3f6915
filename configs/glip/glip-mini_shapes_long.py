"""The mini model whose weights come with glipkit: the demo's, on a longer schedule.

Commands:
    python data_prep/shapes.py --out data/shapes
    glipkit train configs/glip/glip-mini_shapes_long.py
Result and hardware: glipkit/weights/glip-mini.md
"""
_base_ = './glip-mini_shapes.py'

max_iters = 3000
train_cfg = dict(max_iters=max_iters, val_interval=1000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=max_iters, eta_min=1e-5)
]
default_hooks = dict(checkpoint=dict(interval=500))
