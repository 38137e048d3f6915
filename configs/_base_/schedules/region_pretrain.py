"""RegionCLIP's pre-training: SGD 0.002 for 96 images, 600,000 steps, each gradient clipped to 5."""
max_iters = 600000

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)

optim_wrapper = dict(
    type='glipkit.ClippingOptimWrapper',
    # Biases and the table of positions decay as well; norms have no gradient.
    optimizer=dict(type='SGD', lr=0.002, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(type='tensor_norm', max_norm=5.0))

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(
        type='MultiStepLR',
        by_epoch=False,
        begin=0,
        end=max_iters,
        milestones=[max_iters // 2, max_iters * 7 // 8],
        gamma=0.1)
]

auto_scale_lr = dict(enable=False, base_batch_size=96)
