"""GLIP-T: variant C with pseudo-labelled captions of CC3M and SBU (released weights).

Command:
    glipkit pseudo-label data/cc3m/shards --images data/cc3m/images --teacher glip-t-c \\
        --checkpoint glip-t-c.safetensors --out data/cc3m/pseudo
    glipkit pseudo-label data/sbu/shards --images data/sbu/images --teacher glip-t-c \\
        --checkpoint glip-t-c.safetensors --out data/sbu/pseudo
    torchrun --nnodes=4 --nproc_per_node=8 tools/train.py \\
        configs/glip/glip-t_o365-goldg-cc3m-sbu.py --launcher pytorch --amp
Hardware: 32 V100, global batch 64 (paper); not trained here
Time: 8.4 s for a step of two 512 x 640 images on two cores of a Xeon, float32
    (docs/benchmarks.md, measured with variant C); a whole training was not measured
Memory: 16.0 GB a V100 with 2 images (paper table 7); 6.3 GiB for the step above
Result: COCO 46.6 AP zero-shot (published, released weights); not measured here

The detection and grounding sets are those of variant C. docs/self-training.md describes the labels.
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
