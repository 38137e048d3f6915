"""The mini model on annotated boxes: how often a box gets its own name, of 42 that are asked.

Command:
    glipkit world things --out data/things
    glipkit test configs/clipself/clipself-mini_things_gt-boxes.py \\
        glipkit/weights/clipself-mini.safetensors
Hardware: one CPU thread, no GPU
Time: 7 s for 200 pictures (AMD EPYC)
Memory: 1.0 GB at the peak of the process
Result: top-1 74.0 % and top-5 99.5 % of 781 boxes over 42 names
"""
_base_ = 'clipself-mini_things.py'

model = dict(
    box_source=dict(type='glipkit.TruthBoxes', _delete_=True), test_cfg=dict(name_regions=True))
test_evaluator = dict(
    _delete_=True,
    type='glipkit.RegionAccuracyMetric',
    groups=dict(base={{_base_.base_names}}, novel={{_base_.novel_names}}))
