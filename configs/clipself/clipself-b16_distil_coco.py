"""CLIPSelf B/16 on COCO's images, in grids: no label, no box.

Command:
    torchrun --nproc_per_node=8 tools/train.py \\
        configs/clipself/clipself-b16_distil_coco.py --launcher pytorch --amp
    glipkit convert work_dirs/clipself-b16_distil_coco/iter_44358.pth \\
        clipself-b16_patches.safetensors --text EVA02_CLIP_B_psz16_s8B.pt
Hardware: 8 A100-80G (authors); not trained here
Time: about 2 h (author, issue 3 of the official repository); not measured here
Memory: not measured
Result: OV-COCO 33.6 AP50 novel as backbone of F-ViT (readme); not measured here

Begins with EVA-CLIP's EVA02_CLIP_B_psz16_s8B.pt in both towers. Checkpoints hold 0.7 of what was
learned and 0.3 of that, as the published ones; a resumed training goes on with what was learned.
"""
_base_ = [
    '../_base_/models/clipself_eva-b16.py', '../_base_/datasets/coco_crops.py',
    '../_base_/schedules/crops.py', '../_base_/runtime/default.py'
]

load_from = 'EVA02_CLIP_B_psz16_s8B.pt'
custom_hooks = [
    dict(type='glipkit.IterSeedHook'),
    dict(type='glipkit.InterpolateHook', alpha=0.7)
]
