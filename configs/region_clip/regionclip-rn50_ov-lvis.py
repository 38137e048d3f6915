"""RegionCLIP RN50 on OV-LVIS, with masks: trains on 866 base classes, asked for 1,203 at once.

Command:
    torchrun --nproc_per_node=8 tools/train.py \\
        configs/region_clip/regionclip-rn50_ov-lvis.py --launcher pytorch
    glipkit test configs/region_clip/regionclip-rn50_ov-lvis.py \\
        regionclip_finetuned-lvis_rn50.pth --cfg-options model.test_cfg.soft_nms=True
Hardware: 8 GPUs, global batch 16 (authors); not trained here
Time: not measured
Memory: not measured
Result: box AP 17.1 rare, 27.4 common, 34.0 frequent, 28.2 all; masks of the released
    detector 17.4, 26.0, 31.6, 26.7 (published); not measured here

Boxes come from the RPN of 866 classes (rpn_lvis_866_lsj.pth), which is frozen; both files are in
the folder that github.com/microsoft/RegionCLIP links. The published numbers were tested with
soft-NMS, as the command does.
"""
_base_ = [
    '../_base_/models/clip_rcnn_rn50.py', '../_base_/datasets/ov_lvis.py',
    '../_base_/schedules/region_transfer_long.py', '../_base_/runtime/default.py'
]

load_from = 'regionclip_pretrained-cc_rn50.pth'
model = dict(
    roi_head=dict(
        loss_cls=dict(type='glipkit.WeightedClassLoss', background_weight=0.8),
        mask_head=dict(type='glipkit.ClipMaskHead')),
    box_source=dict(
        _delete_=True,
        type='glipkit.FrozenRPN',
        config='configs/region_clip/rpn/rpn-r50-fpn_lvis-866-lsj.py',
        checkpoint='rpn_lvis_866_lsj.pth',
        nms=0.7,
        max_boxes=1000),
    test_cfg=dict(score_threshold=0.02, max_per_image=300, regress_boxes=True, fusion='raw'))
