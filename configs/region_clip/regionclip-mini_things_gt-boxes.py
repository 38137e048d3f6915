"""The mini model on annotated boxes: how often a box gets its own name, of 42 that are asked.

Command:
    glipkit world things --out data/things
    glipkit test configs/region_clip/regionclip-mini_things_gt-boxes.py \\
        glipkit/weights/regionclip-mini.safetensors
Hardware: one CPU thread, no GPU
Time: 5 s for 200 pictures (AMD EPYC)
Memory: 0.9 GB at the peak of the process
Result: top-1 76.6 % and top-5 98.9 % of 781 boxes over 42 names
"""
_base_ = 'regionclip-mini_things.py'

model = dict(
    box_source=dict(type='glipkit.TruthBoxes', _delete_=True), test_cfg=dict(name_regions=True))
test_evaluator = dict(
    _delete_=True,
    type='glipkit.RegionAccuracyMetric',
    groups=dict(base={{_base_.base_names}}, novel={{_base_.novel_names}}))
