"""The mini model whose weights come with glipkit: the demo's, on a longer schedule.

Command:
    glipkit world shapes --out data/shapes
    glipkit train configs/glip/glip-mini_shapes_long.py
Hardware: one thread of an Intel Xeon, no GPU
Time: 39 min
Memory: 1.7 GiB at the peak of the process, measured with glip-mini_shapes
Result: AP50 0.685 on unseen combinations, 0.542 on all names, with ``num_negatives=6``

More in glipkit/weights/glip-mini.md.
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes_long.py', '../_base_/runtime/mini.py'
]

default_hooks = dict(checkpoint=dict(interval=500))
