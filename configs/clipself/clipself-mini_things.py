"""CLIPSelf in miniature: a dense map that names plain shapes in any boxes and masks.

Command:
    glipkit world things --out data/things
    glipkit test configs/clipself/clipself-mini_things.py CHECKPOINT
Hardware: one CPU thread, no GPU
Time: not measured
Memory: not measured
Result: not measured

Trained by clipself-mini_things_distil.py.
"""
_base_ = [
    '../_base_/models/clip_vit_mini.py', '../_base_/datasets/things_regions.py',
    '../_base_/runtime/default.py'
]

model = dict(
    type='glipkit.DenseClip',
    backbone=_base_.clip_tower,
    text_encoder=_base_.clip_words,
    box_source=dict(type='glipkit.TruthBoxes'),
    templates='name',
    data_preprocessor=_base_.clip_input,
    test_cfg=dict(score_threshold=0.01, max_per_image=100, name_regions=True))
test_evaluator = dict(
    _delete_=True,
    type='glipkit.RegionAccuracyMetric',
    groups=dict(base={{_base_.base_names}}, novel={{_base_.novel_names}}))
