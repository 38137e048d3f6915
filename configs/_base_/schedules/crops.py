"""CLIPSelf's schedule: AdamW 1e-5, six passes of COCO by 8 processes with 2 images each, cosine."""
max_iters = 44358

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
    # Norms and biases do not decay.
    paramwise_cfg=dict(flat_decay_mult=0.))

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=1000, end=max_iters, eta_min=0)
]

# The published weights are of processes that did not average their gradients, 2 images each.
auto_scale_lr = dict(enable=False, base_batch_size=2)
