"""F-ViT B/16 on OV-COCO: trains on 48 base classes, asked for 65 at once.

Command:
    torchrun --nproc_per_node=8 tools/train.py \\
        configs/clipself/fvit-b16_ov-coco.py --launcher pytorch
    glipkit convert RELEASED.pth fvit-b16.safetensors --text EVA02_CLIP_B_psz16_s8B.pt
    glipkit test configs/clipself/fvit-b16_ov-coco.py fvit-b16.safetensors
Hardware: 8 GPUs, global batch 64 (authors); not trained here
Time: not measured
Memory: not measured
Result: AP50 37.6 novel, 54.9 base, 50.4 all (published); not measured here

Released detectors hold no text encoder: `convert` adds that of EVA-CLIP. The authors find the
second of the three passes the best one as a rule.
"""
_base_ = [
    '../_base_/models/fvit_eva-b16.py', '../_base_/datasets/ov_coco_jitter.py',
    '../_base_/schedules/frozen_tower.py', '../_base_/runtime/default.py'
]

load_from = 'eva_vitb16_coco_clipself_proposals.pt'
default_hooks = dict(checkpoint=dict(interval=1684))
