"""The shipped mini model, pre-trained on class lists alone: the detection pictures, no captions.

Command:
    glipkit world shapes --out data/shapes
    glipkit train configs/glip/glip-mini_shapes_classes.py
Hardware: one CPU thread, no GPU
Time: 3,000 iterations of 8 pictures, 1.1 s each (40 of them on one thread of a
    busy AMD EPYC)
Memory: 1.7 GiB at the peak of the process
Result: zero-shot AP 18.9 on invented words, 90.0 on new combinations, 41.4 on words of captions
    (docs/transfer.md)

Towers, schedule and iterations are those of the shipped weights, so that the two differ in data
alone; it sees each of its pictures twice as often.
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes_long.py', '../_base_/runtime/mini.py'
]

default_hooks = dict(checkpoint=dict(interval=500))
train_dataloader = dict(dataset=dict(datasets=[{{_base_.detection}}]))
