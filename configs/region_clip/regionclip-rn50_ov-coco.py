"""RegionCLIP RN50 on OV-COCO: trains on 48 base classes, asked for 65 at once.

Command:
    torchrun --nproc_per_node=8 tools/train.py \\
        configs/region_clip/regionclip-rn50_ov-coco.py --launcher pytorch
    glipkit test configs/region_clip/regionclip-rn50_ov-coco.py \\
        regionclip_finetuned-coco_rn50.pth --cfg-options model.test_cfg.soft_nms=True
Hardware: 8 GPUs, global batch 16 (authors); not trained here
Time: not measured
Memory: not measured
Result: AP50 31.4 novel, 57.1 base, 50.4 all (published); not measured here

Boxes come from the RPN of 48 classes (rpn_coco_48.pth), which is frozen; both files are in
the folder that github.com/microsoft/RegionCLIP links. The published numbers were tested with
soft-NMS, as the command does.
"""
_base_ = [
    '../_base_/models/clip_rcnn_rn50.py', '../_base_/datasets/ov_coco.py',
    '../_base_/schedules/region_transfer.py', '../_base_/runtime/default.py'
]

load_from = 'regionclip_pretrained-cc_rn50.pth'
model = dict(
    roi_head=dict(
        loss_cls=dict(type='glipkit.FocalScaledClassLoss', background_weight=0.2, gamma=0.5)),
    box_source=dict(
        _delete_=True,
        type='glipkit.FrozenRPN',
        config='configs/region_clip/rpn/rpn-r50-c4_coco-48.py',
        checkpoint='rpn_coco_48.pth',
        nms=0.7,
        max_boxes=1000),
    test_cfg=dict(score_threshold=0.001, max_per_image=100, regress_boxes=True, fusion='none'))
