"""RegionCLIP RN50x4 on OV-COCO: trains on 48 base classes, asked for 65 at once.

Command:
    torchrun --nproc_per_node=8 tools/train.py \\
        configs/region_clip/regionclip-rn50x4_ov-coco.py --launcher pytorch
    glipkit test configs/region_clip/regionclip-rn50x4_ov-coco.py \\
        regionclip_finetuned-coco_rn50x4.pth --cfg-options model.test_cfg.soft_nms=True
Hardware: 8 GPUs, global batch 16 (authors); not trained here
Time: not measured
Memory: not measured
Result: AP50 39.3 novel, 61.6 base, 55.7 all (published); not measured here

Boxes come from the RPN of 48 classes (rpn_coco_48.pth), which is frozen; both files are in
the folder that github.com/microsoft/RegionCLIP links. The published numbers were tested with
soft-NMS, as the command does.
"""
_base_ = 'regionclip-rn50_ov-coco.py'
embed_dim = 640

load_from = 'regionclip_pretrained-cc_rn50x4.pth'
model = dict(
    backbone=dict(variant='rn50x4'),
    text_encoder=dict(width=640, heads=10, embed_dim=embed_dim),
    roi_head=dict(embed_dim=embed_dim))
