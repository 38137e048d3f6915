"""Transfer in miniature: boxes of 21 base names train the detector, which is asked for 42 at once.

Command:
    glipkit world things --out data/things
    glipkit train configs/region_clip/regionclip-mini_things_transfer.py
Hardware: one CPU thread, no GPU
Time: not measured
Memory: not measured
Result: not measured

Starts from the shipped weights. `glipkit bench claims region-clip` compares its loss with another.
"""
_base_ = [
    '../_base_/models/clip_mini.py', '../_base_/datasets/things.py',
    '../_base_/schedules/regions_mini.py', '../_base_/runtime/default.py'
]

model = dict(
    type='glipkit.ClipRCNN',
    backbone=_base_.clip_tower,
    text_encoder=_base_.clip_words,
    roi_head=dict(
        type='glipkit.ClipRoIHead',
        embed_dim=64,
        loss_cls=dict(type='glipkit.FocalScaledClassLoss', background_weight=0.2, gamma=0.5)),
    box_source=dict(type='glipkit.GridBoxes', sizes=(0.15, 0.2, 0.3, 0.4), shapes=(1., )),
    templates='name',
    data_preprocessor=_base_.clip_input,
    test_cfg=dict(score_threshold=0.01, max_per_image=100, regress_boxes=True))

load_from = 'glipkit/weights/regionclip-mini.safetensors'
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='glipkit.DrawSampler'),
    dataset=dict(
        type='glipkit.MixedDataset', pipeline=_base_.train_pipeline, datasets=[_base_.base_boxes]))
default_hooks = dict(checkpoint=dict(interval=100))

# A grid has some hundred boxes a picture, which makes an iteration slow.
max_iters = 300
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=30, end=max_iters, eta_min=1e-5)
]
