"""The mini model whose weights come with glipkit: the demo's, on a longer schedule.

Commands:
    python data_prep/shapes.py --out data/shapes
    glipkit train configs/glip/glip-mini_shapes_long.py
Result and hardware: glipkit/weights/glip-mini.md
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes_long.py', '../_base_/runtime/mini.py'
]

default_hooks = dict(checkpoint=dict(interval=500))
