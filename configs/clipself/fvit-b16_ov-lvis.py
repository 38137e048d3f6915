"""F-ViT B/16 on OV-LVIS, with masks: trains on 866 base classes, asked for 1,203 at once.

Command:
    torchrun --nproc_per_node=8 tools/train.py \\
        configs/clipself/fvit-b16_ov-lvis.py --launcher pytorch
    glipkit convert RELEASED.pth fvit.safetensors --text EVA02_CLIP_B_psz16_s8B.pt
    glipkit test configs/clipself/fvit-b16_ov-lvis.py fvit.safetensors
Hardware: 8 GPUs, global batch 64 (authors); not trained here
Time: not measured
Memory: not measured
Result: mask AP 25.3 rare, 21.8 common, 29.1 frequent, 25.2 all (published); not measured here
"""
_base_ = [
    '../_base_/models/fvit_eva-b16_masks.py', '../_base_/datasets/ov_lvis_jitter.py',
    '../_base_/schedules/frozen_tower_long.py', '../_base_/runtime/default.py'
]
load_from = 'eva_vitb16_lvis_clipself_patches.pt'
