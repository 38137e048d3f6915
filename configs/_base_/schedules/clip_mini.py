"""A few minutes of AdamW on one CPU core for a small CLIP, cosine decay; nothing is validated."""
max_iters = 900

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters)

# The words begin further from their place than the pictures.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='glipkit.GroundingOptimConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05, fused=True),
    paramwise_cfg=dict(lr_mults={'text_encoder.': 3.}),
    clip_grad=dict(max_norm=5.0))

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=90),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=90, end=max_iters, eta_min=1e-5)
]
