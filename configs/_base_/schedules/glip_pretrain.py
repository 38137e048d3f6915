"""GLIP-T pre-training: AdamW 1e-4 (text encoder 1e-5), global batch 64, drops at 67 % and 89 %.

About 30 passes over Objects365: max_iters = 30 * images / 64; set it to your own data.
"""
max_iters = 300000

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=20000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='glipkit.GroundingOptimConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    paramwise_cfg=dict(lr_mults={'text_encoder.': 0.1}, bias_lr_mult=2., bias_decay_mult=0.),
    clip_grad=dict(max_norm=1.0))

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=2000),
    dict(
        type='MultiStepLR',
        by_epoch=False,
        begin=0,
        end=max_iters,
        milestones=[round(0.67 * max_iters), round(0.89 * max_iters)],
        gamma=0.1)
]

auto_scale_lr = dict(enable=False, base_batch_size=64)
