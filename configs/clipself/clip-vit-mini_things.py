"""A small CLIP with an image transformer, which learns the words of the things world from pictures
of one thing each.

Command:
    glipkit world things --out data/things
    glipkit train configs/clipself/clip-vit-mini_things.py
Hardware: one CPU thread, no GPU
Time: 1,600 iterations of 32 pictures, 0.14 s of processor time each (AMD EPYC): 4 min
Memory: 1.0 GB at the peak of the process
Result: crops of annotated boxes, half as large again, get their own of 42 names in 78.4 ± 0.9 %,
    regions of the map in 3.5 ± 0.6 % (three seeds)

The distillation of the mini model starts from this.
"""
_base_ = [
    '../_base_/models/clip_vit_mini.py', '../_base_/datasets/things.py',
    '../_base_/schedules/clip_mini.py', '../_base_/runtime/mini.py'
]

model = dict(
    type='glipkit.ClipPretrainer',
    backbone=_base_.clip_tower,
    text_encoder=_base_.clip_words,
    data_preprocessor=_base_.clip_input)

crops = dict(
    type='glipkit.BoxCaptions',
    data_root='data/things/',
    ann_file='annotations/det_train.json',
    data_prefix=dict(img='images/train_det/'),
    templates=['{}'],
    pipeline=[
        dict(type='LoadImageFromFile', imdecode_backend='pillow'),
        # As much around a thing as the crops of the distillation have, and less.
        dict(type='glipkit.CropToBox', margin=(-0.05, 0.35)),
        dict(type='Resize', scale=(48, 48), backend='pillow'),
        dict(type='mmdet.RandomFlip', prob=0.5),
        dict(type='glipkit.PackGrounding')
    ])
whole = dict(
    pipeline=[
        dict(type='LoadImageFromFile', imdecode_backend='pillow'),
        dict(type='Resize', scale=(48, 48), backend='pillow'),
        dict(type='mmdet.RandomFlip', prob=0.5),
        dict(type='glipkit.SwapLeftRight'),
        dict(type='glipkit.PackGrounding')
    ],
    **_base_.pairs)
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type='glipkit.DrawSampler'),
    dataset=dict(type='glipkit.MixedDataset', datasets=[crops, whole], weights=[9, 1]))

# Half the batch and more steps than the CNN: layers of attention learn shapes late.
max_iters = 1600
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=60),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=60, end=max_iters, eta_min=1e-5)
]
