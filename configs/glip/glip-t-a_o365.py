"""GLIP-T (A): no fusion, Objects365 (paper table 1).

Command:
    torchrun --nnodes=4 --nproc_per_node=8 tools/train.py \\
        configs/glip/glip-t-a_o365.py --launcher pytorch --amp
Hardware: 32 V100, global batch 64 (paper); not trained here
Time: not measured
Memory: 11.5 GB a V100 with 2 images (paper table 7); not measured here
Result: COCO 42.9 AP zero-shot (published); not measured here
"""
_base_ = [
    '../_base_/models/glip_swin-t.py', '../_base_/datasets/objects365.py',
    '../_base_/schedules/glip_pretrain.py', '../_base_/runtime/averaged.py'
]

model = dict(bbox_head=dict(fusion=None, text_layer=None))
