"""CLIPSelf with OpenAI's ViT-B/16 on COCO's images, in grids.

Command:
    torchrun --nproc_per_node=8 tools/train.py \\
        configs/clipself/clipself-openai-b16_distil_coco.py --launcher pytorch --amp
    glipkit convert work_dirs/clipself-openai-b16_distil_coco/iter_44358.pth \\
        clipself-openai-b16.safetensors --text ViT-B-16.pt
Hardware: 8 A100-80G (authors); not trained here
Time: about 2 h for EVA-02 (author, issue 3 of the official repository); not measured here
Memory: not measured
Result: ADE20K 29.0 mIoU as tower of CAT-Seg (leaderboard); not measured here

Begins with OpenAI's ViT-B-16.pt in both towers. AdamW's numbers follow the name of a model in the
released code: those with ViT in it have these.
"""
_base_ = [
    '../_base_/models/clipself_eva-b16.py', '../_base_/datasets/coco_crops.py',
    '../_base_/schedules/crops.py', '../_base_/runtime/default.py'
]

load_from = 'ViT-B-16.pt'
model = dict(backbone=dict(_delete_=True, type='glipkit.ClipViT', with_cp=True))
optim_wrapper = dict(optimizer=dict(betas=(0.9, 0.98), eps=1e-6))
custom_hooks = [
    dict(type='glipkit.IterSeedHook'),
    dict(type='glipkit.InterpolateHook', alpha=0.7)
]
