"""What trained the weights of glip-photo that come with glipkit: the demo's recipe, longer.

Command:
    glipkit world stamps --out data/stamps --train-det 2400 --train-grd 2400
    glipkit train configs/glip/glip-photo_stamps_long.py
Hardware: one CPU thread, no GPU
Time: 1,600 iterations of 8 pictures, 1.2 to 1.6 s each (1,700 of them, AMD EPYC, beside
    other work)
Memory: not measured
Result: AP50 0.68 on seen things, 0.21 on things never shown nor named, 0.84 on those in captions
    only, all 274 names asked (weights of glip-photo, which had a longer way)

More in glipkit/weights/glip-photo.md.
"""
_base_ = [
    '../_base_/models/glip_photo.py', '../_base_/datasets/stamps.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/mini.py'
]

# Towers that have read and seen can learn from the start that a thing may not be asked for.
class_prompt = dict(leave_out_prob=0.25, **_base_.class_prompt)
train_pipeline = [*_base_.loading, class_prompt, _base_.packing]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

max_iters = 1600
train_cfg = dict(max_iters=max_iters, val_interval=400)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=max_iters, eta_min=1e-5)
]
val_dataloader = dict(dataset=dict(indices=100))
default_hooks = dict(checkpoint=dict(interval=200))

# The lowest score that a person is shown: on validation pictures the weights that come with glipkit
# give an object few labels above it, and hardly lose a right one.
shown_above = 0.45
val_evaluator = dict(shown_above=shown_above)
test_evaluator = dict(shown_above=shown_above)
