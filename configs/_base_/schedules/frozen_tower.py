"""A detector on a frozen tower: AdamW 1e-4, global batch 64, three passes of 107,761 images."""
max_iters = 5052

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=1684)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale=512.,
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.1, betas=(0.9, 0.999)),
    clip_grad=dict(max_norm=1.0))

param_scheduler = [dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=250)]

sync_bn = 'torch'
auto_scale_lr = dict(enable=False, base_batch_size=64)
