"""A few minutes of SGD on one CPU core for regions, cosine decay; nothing is validated."""
max_iters = 1000

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters)

# Each tensor is clipped by itself, as in the official code.
optim_wrapper = dict(
    type='glipkit.ClippingOptimWrapper',
    optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(type='tensor_norm', max_norm=5.0))

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=max_iters, eta_min=1e-5)
]
