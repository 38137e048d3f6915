"""The shipped mini model, pre-trained on class lists alone: the detection pictures, no captions.

Towers, schedule and iterations are those of the shipped weights, so that the two differ in data
alone; it sees each of its pictures twice as often.

Commands:
    python data_prep/shapes.py --out data/shapes
    glipkit train configs/glip/glip-mini_shapes_classes.py
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes_long.py', '../_base_/runtime/mini.py'
]

default_hooks = dict(checkpoint=dict(interval=500))
train_dataloader = dict(dataset=dict(datasets=[{{_base_.detection}}]))
