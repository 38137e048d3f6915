"""RegionCLIP RN50, zero-shot on annotated boxes: recognition alone, on COCO val2017.

Command:
    glipkit test configs/region_clip/regionclip-rn50_gt-boxes.py regionclip_pretrained-cc_rn50.pth
Hardware: two CPU cores or any GPU
Time: not measured
Memory: not measured
Result: not measured here; CLIP's own RN50 is published with 58.3 AP50 on 65 classes
"""
_base_ = 'regionclip-rn50.py'

model = dict(
    box_source=dict(type='glipkit.TruthBoxes', _delete_=True), test_cfg=dict(regress_boxes=False))
