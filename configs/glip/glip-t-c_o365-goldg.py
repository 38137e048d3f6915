"""GLIP-T (C): deep fusion, Objects365 and GoldG (paper table 1).

Command: torchrun --nproc_per_node=8 tools/train.py configs/glip/glip-t-c_o365-goldg.py
    --launcher pytorch --amp
Hardware of the paper: 32 V100, global batch 64, 30 passes. Published: COCO 46.7 AP zero-shot.
Data beside Objects365: MDETR's ``data/mdetr_annotations/final_mixed_train_no_coco.json`` with
``data/gqa/images``, and ``final_flickr_separateGT_train.json`` with ``data/flickr30k_images``.
data_prep/mixed_grounding.py cleans the one, data_prep/flickr30k.py makes the other.
"""
_base_ = [
    '../_base_/models/glip_swin-t.py', '../_base_/datasets/objects365_goldg.py',
    '../_base_/schedules/glip_pretrain.py', '../_base_/runtime/averaged.py'
]
