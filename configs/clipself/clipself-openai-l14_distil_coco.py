"""CLIPSelf with OpenAI's ViT-L/14-336 on COCO's images of 672 pixels, in grids.

Command:
    torchrun --nproc_per_node=8 tools/train.py \\
        configs/clipself/clipself-openai-l14_distil_coco.py --launcher pytorch --amp
    glipkit convert work_dirs/clipself-openai-l14_distil_coco/iter_44358.pth \\
        clipself-openai-l14.safetensors --text ViT-L-14-336px.pt
Hardware: 8 A100-80G (authors); not trained here
Time: not measured
Memory: not measured
Result: ADE20K 34.5 mIoU as tower of CAT-Seg (leaderboard); not measured here

The last 12 layers train (author, issue 25 of the official repository: 6 or 12).
"""
_base_ = [
    '../_base_/models/clipself_eva-b16.py', '../_base_/datasets/coco_crops.py',
    '../_base_/schedules/crops.py', '../_base_/runtime/default.py'
]

load_from = 'ViT-L-14-336px.pt'
model = dict(
    backbone=dict(
        _delete_=True, type='glipkit.ClipViT', image_size=336, patch=14, width=1024, layers=24,
        embed_dim=768, with_cp=True),
    trained_layers=12,
    crop_batch=5)
pipeline = [
    dict(type='glipkit.LoadImage', imdecode_backend='fast'),
    dict(type='glipkit.GridProposals', max_split=6, max_boxes=20),
    dict(type='glipkit.CutCrops', size=336),
    dict(type='glipkit.WithProposals', transforms=[dict(type='glipkit.LongSideResize', size=672)]),
    dict(type='mmdet.Pad', size=(672, 672)),
    dict(type='glipkit.PackGrounding')
]
train_dataloader = dict(dataset=dict(datasets=[dict(**{**_base_.images, 'pipeline': pipeline})]))
optim_wrapper = dict(optimizer=dict(betas=(0.9, 0.98), eps=1e-6))
custom_hooks = [
    dict(type='glipkit.IterSeedHook'),
    dict(type='glipkit.InterpolateHook', alpha=0.95)
]
