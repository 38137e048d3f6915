"""RegionCLIP RN50x4 on OV-LVIS, with masks: trains on 866 base classes, asked for 1,203.

Command:
    torchrun --nproc_per_node=8 tools/train.py configs/region_clip/regionclip-rn50x4_ov-lvis.py --launcher pytorch
    glipkit test configs/region_clip/regionclip-rn50x4_ov-lvis.py regionclip_finetuned-lvis_rn50x4.pth \\
        --cfg-options model.test_cfg.soft_nms=True
Hardware: 8 GPUs, global batch 16 (authors); not trained here
Time: not measured
Memory: not measured
Result: box AP 22.0 rare, 32.1 common, 36.9 frequent, 32.3 all; masks of the released
    detector 21.8, 30.2, 35.1, 30.7 (published); not measured here

Starts from ``regionclip_pretrained-cc_rn50x4.pth``, read once into a model with a new box layer:
``python -c "import glipkit; glipkit.save_checkpoint(glipkit.load('regionclip-rn50x4',
'regionclip_pretrained-cc_rn50x4.pth'), 'regionclip-rn50x4_start.safetensors', force=True)"``. Boxes come from the RPN of the 866 classes (rpn_lvis_866_lsj.pth), which is frozen. The published numbers were tested with soft-NMS,
as the command does.
"""
_base_ = 'regionclip-rn50_ov-lvis.py'
embed_dim = 640

load_from = 'regionclip-rn50x4_start.safetensors'
model = dict(
    backbone=dict(variant='rn50x4'),
    text_encoder=dict(width=640, heads=10, embed_dim=embed_dim),
    roi_head=dict(embed_dim=embed_dim,
                  mask_head=dict(in_channels=2560, channels=320)))
