"""The mini model on photographs of real things: ``python data_prep/stamps.py --out data/stamps``.

Command: glipkit train configs/glip/glip-mini_stamps.py (or ``make demo WORLD=stamps``)
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/stamps.py',
    '../_base_/schedules/shapes.py', '../_base_/runtime/mini.py'
]
