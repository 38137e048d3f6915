"""The mini model whose weights come with glipkit, last stage: to read all words of a name.

Command:
    glipkit world shapes --out data/shapes
    glipkit train configs/glip/glip-mini_shapes_long.py
    glipkit train configs/glip/glip-mini_shapes_names.py
Hardware: one CPU thread, no GPU
Time: 6,000 iterations of 8 pictures, 0.5 s each (3,600 of them, AMD EPYC)
Memory: 1.7 GiB at the peak of the process, measured with glip-mini_shapes
Result: best label right 0.99, AP50 0.96, all 252 names asked (weights of glip-mini, which had a
    longer way)

Most of the prompts that a long list of names is split into name nothing of a picture, and all of
them fire at what comes near. So prompts leave out classes of the picture and are filled with names
that differ from these in one word; and the image side learns words one by one, without which it
could not tell stripes from dots. More in glipkit/weights/glip-mini.md.
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes_long.py', '../_base_/runtime/mini.py'
]

load_from = 'work_dirs/glip-mini_shapes_long/iter_3000.pth'
model = dict(loss_words=dict(type='glipkit.WordLoss', strides=(8, 16, 32), loss_weight=3.))
class_prompt = dict(leave_out_prob=0.4, similar_share=0.7, **_base_.class_prompt)
train_pipeline = [*_base_.loading, class_prompt, _base_.packing]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
max_iters = 6000
train_cfg = dict(max_iters=max_iters, val_interval=2000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=max_iters, eta_min=1e-5)
]
default_hooks = dict(checkpoint=dict(interval=500))

# The lowest score that a person is shown: on validation pictures the weights that come with glipkit
# give an object few labels above it, and hardly lose a right one.
shown_above = 0.6
val_evaluator = dict(shown_above=shown_above)
test_evaluator = dict(shown_above=shown_above)
