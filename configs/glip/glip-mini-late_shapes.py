"""The shipped mini model without fusion, as GLIP-T (A): words and regions first meet in their
product. Data, schedule and iterations are those of the shipped weights, so that the two differ in
fusion alone.

Commands:
    python data_prep/shapes.py --out data/shapes
    glipkit train configs/glip/glip-mini-late_shapes.py
"""
_base_ = [
    '../_base_/models/glip_mini.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/shapes_long.py', '../_base_/runtime/mini.py'
]

default_hooks = dict(checkpoint=dict(interval=500))
model = dict(bbox_head=dict(fusion=None, text_layer=None))
