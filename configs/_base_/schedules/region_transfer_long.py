"""The schedule of LVIS: as region_transfer.py, with 180,000 iterations (28.8 passes)."""
max_iters = 180000

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=60000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.002, momentum=0.9, weight_decay=1e-4))

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=5000),
    dict(
        type='MultiStepLR',
        by_epoch=False,
        begin=0,
        end=max_iters,
        milestones=[120000, 160000],
        gamma=0.1)
]

auto_scale_lr = dict(enable=False, base_batch_size=16)
