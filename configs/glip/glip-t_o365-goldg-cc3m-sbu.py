"""GLIP-T: variant C with pseudo-labelled captions of CC3M and SBU (released weights).

Command: torchrun --nproc_per_node=8 tools/train.py configs/glip/glip-t_o365-goldg-cc3m-sbu.py
    --launcher pytorch --amp
Published: COCO 46.6 AP zero-shot. The caption sets are shards that ``glipkit pseudo-label`` makes
with GLIP-T (C) as teacher (docs/self-training.md).
"""
_base_ = [
    '../_base_/models/glip_swin-t.py', '../_base_/datasets/objects365_goldg.py',
    '../_base_/schedules/glip_pretrain.py', '../_base_/runtime/averaged.py'
]

captions = [
    dict(
        type='glipkit.CaptionShards',
        data_root=f'data/{name}/',
        ann_file='pseudo',
        data_prefix=dict(img='images/')) for name in ('cc3m', 'sbu')
]
train_dataloader = dict(
    dataset=dict(datasets=[
        {{_base_.objects365}}, {{_base_.mixed_grounding}}, {{_base_.flickr30k}}, *captions
    ]))
