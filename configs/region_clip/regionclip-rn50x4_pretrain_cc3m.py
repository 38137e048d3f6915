"""RegionCLIP's pre-training of RN50x4 on CC3M, with a frozen RN50x4 as teacher.

Command:
    glipkit concepts captions_train2017.json --min-count 100 --model regionclip-rn50x4 \\
        --checkpoint RN50x4.pt --out coco_nouns_4764_rn50x4.safetensors
    torchrun --nnodes=4 --nproc_per_node=8 tools/train.py \\
        configs/region_clip/regionclip-rn50x4_pretrain_cc3m.py --launcher pytorch
Hardware: 32 V100, global batch 96 (authors); not trained here
Time: not measured
Memory: not measured
Result: OV-COCO 39.3 AP50 novel, 55.7 all, after transfer (published); not measured here

A student of RN50 with this teacher keeps the student's numbers, adds
``teacher_backbone=dict(type='glipkit.ClipResNet', variant='rn50x4')`` and ``teacher_concepts``
with the pool of the teacher, and reads its towers from two files with `PartWeightsHook` in place
of ``load_from``.
"""
_base_ = 'regionclip-rn50_pretrain_cc3m.py'

load_from = 'RN50x4.pt'
model = dict(
    backbone=dict(variant='rn50x4'),
    text_encoder=dict(width=640, heads=10, embed_dim=640),
    concepts='coco_nouns_4764_rn50x4.safetensors')
