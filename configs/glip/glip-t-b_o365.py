"""GLIP-T (B): deep fusion, Objects365 alone (paper table 1). Published: COCO 44.9 AP zero-shot.

Command: torchrun --nproc_per_node=8 tools/train.py configs/glip/glip-t-b_o365.py
    --launcher pytorch --amp
"""
_base_ = [
    '../_base_/models/glip_swin-t.py', '../_base_/datasets/objects365.py',
    '../_base_/schedules/glip_pretrain.py', '../_base_/runtime/averaged.py'
]
