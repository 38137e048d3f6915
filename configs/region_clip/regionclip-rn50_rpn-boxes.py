"""RegionCLIP RN50, zero-shot on the boxes of a frozen proposal network, on COCO val2017.

Command:
    glipkit test configs/region_clip/regionclip-rn50_rpn-boxes.py regionclip_pretrained-cc_rn50.pth
Hardware: two CPU cores or any GPU
Time: not measured
Memory: not measured
Result: not measured here; CLIP's own RN50 is published with about 25 AP50 on 65 classes

The network's weights are rpn_lvis_866.pth of the same folder. As published, a box's score is the
geometric mean of class probability and proposal logit (it may exceed 1, and a negative logit drops
the box); for scores from 0 to 1 pass ``--cfg-options model.test_cfg.fusion=sigmoid``.
"""
_base_ = 'regionclip-rn50.py'

model = dict(
    box_source=dict(
        _delete_=True,
        type='glipkit.FrozenRPN',
        config='configs/region_clip/rpn/rpn-r50-fpn_lvis-866.py',
        checkpoint='rpn_lvis_866.pth',
        nms=0.9,
        max_boxes=1000),
    test_cfg=dict(fusion='raw', regress_boxes=False))
