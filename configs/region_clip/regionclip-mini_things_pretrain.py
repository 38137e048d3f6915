"""RegionCLIP's pre-training in miniature: regions of small things learn from a teacher that sees
the pictures twice as large.

Command:
    glipkit world things --out data/things
    glipkit train configs/region_clip/clip-mini_things.py
    glipkit concepts data/things/names.txt --given --templates name \\
        --model configs/region_clip/clip-mini_things.py \\
        --checkpoint work_dirs/clip-mini_things/iter_900.pth --out data/things/pool.safetensors
    glipkit train configs/region_clip/regionclip-mini_things_pretrain.py
Hardware: one CPU thread, no GPU
Time: 1,000 iterations of 8 pictures, 0.15 s each (AMD EPYC): 3 min
Memory: 1.1 GB at the peak of the process
Result: top-1 of regions of small things 66 % (39 % before), of large ones 87 % (94 % before)

Boxes come from a grid; no box has a label, and captions are those of whole pictures.
"""
_base_ = [
    '../_base_/models/clip_mini.py', '../_base_/datasets/things.py',
    '../_base_/schedules/regions_mini.py', '../_base_/runtime/default.py'
]

# Student and teacher both begin with its tower.
load_from = 'work_dirs/clip-mini_things/iter_900.pth'
model = dict(
    type='glipkit.RegionClipPretrainer',
    backbone=_base_.clip_tower,
    text_encoder=_base_.clip_words,
    box_source=dict(type='glipkit.GridBoxes', sizes=(0.15, 0.2, 0.3, 0.4), shapes=(1., )),
    concepts='data/things/pool.safetensors',
    teacher_scale=2.,
    regions=24,
    data_preprocessor=_base_.clip_input)

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='glipkit.DrawSampler'),
    dataset=dict(
        type='glipkit.MixedDataset', pipeline=_base_.pair_pipeline, datasets=[_base_.pairs]))
default_hooks = dict(checkpoint=dict(interval=200))
