"""CLIPSelf L/14 on COCO's images of 896 pixels, in grids.

Command:
    torchrun --nproc_per_node=8 tools/train.py \\
        configs/clipself/clipself-l14_distil_coco.py --launcher pytorch --amp
    glipkit convert work_dirs/clipself-l14_distil_coco/iter_44358.pth \\
        clipself-l14_patches.safetensors --text EVA02_CLIP_L_336_psz14_s6B.pt
Hardware: 8 A100-80G (authors); not trained here
Time: about 6 h (author, issue 3 of the official repository); not measured here
Memory: not measured
Result: OV-COCO 38.4 AP50 novel as backbone of F-ViT (readme); not measured here

Begins with EVA02_CLIP_L_336_psz14_s6B.pt in both towers. Checkpoints hold 0.95 of what was learned
and 0.05 of that, as the published ones; a resumed training goes on with what was learned.
"""
_base_ = [
    '../_base_/models/clipself_eva-b16.py', '../_base_/datasets/coco_crops.py',
    '../_base_/schedules/crops.py', '../_base_/runtime/default.py'
]

load_from = 'EVA02_CLIP_L_336_psz14_s6B.pt'
model = dict(
    backbone=dict(image_size=336, patch=14, width=1024, layers=24, embed_dim=768), crop_batch=5)
pipeline = [
    dict(type='glipkit.LoadImage', imdecode_backend='fast'),
    dict(type='glipkit.GridProposals', max_split=6, max_boxes=20),
    dict(type='glipkit.CutCrops', size=336),
    dict(type='glipkit.WithProposals', transforms=[dict(type='glipkit.LongSideResize', size=896)]),
    dict(type='mmdet.Pad', size=(896, 896)),
    dict(type='glipkit.PackGrounding')
]
train_dataloader = dict(dataset=dict(datasets=[dict(**{**_base_.images, 'pipeline': pipeline})]))
custom_hooks = [
    dict(type='glipkit.IterSeedHook'),
    dict(type='glipkit.InterpolateHook', alpha=0.95)
]
