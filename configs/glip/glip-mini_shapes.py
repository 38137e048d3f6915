"""The mini model of the demo, on the shapes world.

Commands:
    python data_prep/shapes.py --out data/shapes
    glipkit train configs/glip/glip-mini_shapes.py (or ``make demo``)
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/mini.py'
]
