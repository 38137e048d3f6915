"""GLIP-T: variant C with pseudo-labelled captions of CC3M and SBU (released weights).

Command: torchrun --nproc_per_node=8 tools/train.py configs/glip/glip-t_o365-goldg-cc3m-sbu.py
    --launcher pytorch --amp
Published: COCO 46.6 AP zero-shot. The caption sets are grounding jsonl made by a teacher.
"""
_base_ = './glip-t-c_o365-goldg.py'

captions = [
    dict(
        type='OdvgGrounding',
        data_root='data/cc3m/',
        ann_file='cc3m_grounding.jsonl',
        data_prefix=dict(img='images/')),
    dict(
        type='OdvgGrounding',
        data_root='data/sbu/',
        ann_file='sbu_grounding.jsonl',
        data_prefix=dict(img='images/'))
]
train_dataloader = dict(
    dataset=dict(datasets=[
        {{_base_.objects365}}, {{_base_.mixed_grounding}}, {{_base_.flickr30k}}, *captions
    ]))
