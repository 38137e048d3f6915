"""What trained the weights of glip-photo that come with glipkit: the demo's recipe, longer.

Command:
    pip install 'glipkit[photo]'
    glipkit world stamps --out data/stamps --train-det 2400 --train-grd 2400
    glipkit train configs/glip/glip-photo_stamps_long.py
Hardware: one CPU thread, no GPU
Time: TIME_PHOTO
Memory: MEM_PHOTO
Result: RESULT_PHOTO

More in glipkit/weights/glip-photo.md.
"""
_base_ = [
    '../_base_/models/glip_photo.py', '../_base_/datasets/stamps.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/mini.py'
]

max_iters = 1600
train_cfg = dict(max_iters=max_iters, val_interval=400)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=max_iters, eta_min=1e-5)
]
val_dataloader = dict(dataset=dict(indices=100))
default_hooks = dict(checkpoint=dict(interval=200))
