"""A small CLIP that learns the words of the shapes world from pictures of one thing each.

Command:
    glipkit world shapes --out data/shapes
    glipkit train configs/region_clip/clip-mini_shapes.py
Hardware: one CPU thread, no GPU
Time: not measured
Memory: not measured
Result: not measured

Boxes of the detection pictures and of the captions' phrases are cut out, and their names are the
captions; a fifth of the pictures are whole ones with their own captions. Words of size are left
out: a picture of one thing has no scale.
"""
_base_ = ['../_base_/models/clip_mini.py', '../_base_/datasets/shapes.py',
          '../_base_/schedules/clip_mini.py', '../_base_/runtime/mini.py']

model = dict(
    type='glipkit.ClipPretrainer',
    backbone=dict(frozen_norm=False, frozen_stages=0, **_base_.clip_tower),
    text_encoder=_base_.clip_words,
    data_preprocessor=_base_.clip_input)
