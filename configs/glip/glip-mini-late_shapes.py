"""The shipped mini model without fusion, as GLIP-T (A): words and regions first meet in their
product.

Command:
    glipkit world shapes --out data/shapes
    glipkit train configs/glip/glip-mini-late_shapes.py
Hardware: one CPU thread, no GPU
Time: 3,000 iterations of 8 pictures, 0.5 s each (40 of them on one thread of a
    busy AMD EPYC)
Memory: 1.7 GiB at the peak of the process
Result: zero-shot AP 10.7 on invented words, 80.9 on new combinations (docs/transfer.md)

Data, schedule and iterations are those of the shipped weights, so that the two differ in fusion
alone.
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes_long.py', '../_base_/runtime/mini.py'
]

default_hooks = dict(checkpoint=dict(interval=500))
model = dict(bbox_head=dict(fusion=None, text_layer=None))
