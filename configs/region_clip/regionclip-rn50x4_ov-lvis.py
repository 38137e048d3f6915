"""RegionCLIP RN50x4 on OV-LVIS, with masks: trains on 866 base classes, asked for 1,203.

Command:
    torchrun --nproc_per_node=8 tools/train.py \\
        configs/region_clip/regionclip-rn50x4_ov-lvis.py --launcher pytorch
    glipkit test configs/region_clip/regionclip-rn50x4_ov-lvis.py \\
        regionclip_finetuned-lvis_rn50x4.pth --cfg-options model.test_cfg.soft_nms=True
Hardware: 8 GPUs, global batch 16 (authors); not trained here
Time: not measured
Memory: not measured
Result: box AP 22.0 rare, 32.1 common, 36.9 frequent, 32.3 all; masks of the released
    detector 21.8, 30.2, 35.1, 30.7 (published); not measured here

Boxes come from the RPN of 866 classes (rpn_lvis_866_lsj.pth), which is frozen; both files are in
the folder that github.com/microsoft/RegionCLIP links. The published numbers were tested with
soft-NMS, as the command does.
"""
_base_ = 'regionclip-rn50_ov-lvis.py'
embed_dim = 640

load_from = 'regionclip_pretrained-cc_rn50x4.pth'
model = dict(
    backbone=dict(variant='rn50x4'),
    text_encoder=dict(width=640, heads=10, embed_dim=embed_dim),
    roi_head=dict(embed_dim=embed_dim,
                  mask_head=dict(in_channels=2560, channels=320)))
