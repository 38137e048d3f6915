"""GLIP-L: Swin-L, eight blocks, four detection sets, GoldG and 24 M captions (paper table 1).

Command:
    torchrun --nnodes=8 --nproc_per_node=8 tools/train.py \\
        configs/glip/glip-l_fourods-goldg-cap24m.py --launcher pytorch \\
        --cfg-options train_dataloader.batch_size=1
Hardware: 64 V100, global batch 64, float32 (paper); not trained here
Time: not measured; 1 M iterations
Memory: 23.4 GB a V100 with 1 image (paper table 7); not measured here
Result: COCO 49.8 AP zero-shot (paper), 51.4 (released weights); not measured here

Copies per pass are the official ones.
"""
_base_ = [
    '../_base_/models/glip_swin-t.py', '../_base_/datasets/objects365_goldg.py',
    '../_base_/schedules/glip_pretrain.py', '../_base_/runtime/averaged.py'
]

num_blocks = 8
max_iters = 1000000

model = dict(
    backbone=dict(
        embed_dims=192,
        depths=[2, 2, 18, 2],
        num_heads=[6, 12, 24, 48],
        window_size=12,
        drop_path_rate=0.4),
    neck=dict(in_channels=[384, 768, 1536]),
    bbox_head=dict(num_blocks=num_blocks, fusion=dict(init_gamma=1 / num_blocks)))

other_detection = [
    dict(
        type='glipkit.OdvgGrounding',
        data_root=f'data/{name}/',
        ann_file=f'annotations/{name}_train.jsonl',
        label_map_file=f'annotations/{name}_train_label_map.json',
        data_prefix=dict(img='train/'))
    for name in ('openimages', 'visual_genome', 'imagenet_boxes')
]
# Packed with other samples' captions as negatives.
captions = [
    dict(
        type='glipkit.CaptionShards',
        data_root=f'data/{name}/',
        ann_file='pseudo',
        packing=dict(),
        data_prefix=dict(img='images/')) for name in ('cc3m', 'cc12m', 'sbu')
]
train_dataloader = dict(
    dataset=dict(
        datasets=[
            {{_base_.objects365}}, *other_detection, {{_base_.mixed_grounding}},
            {{_base_.flickr30k}}, *captions
        ],
        copies=[2, 1, 3, 2, 4, 8, 1, 1, 1]))

train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(weight_decay=1e-2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=2000),
    dict(
        type='MultiStepLR',
        by_epoch=False,
        begin=0,
        end=max_iters,
        milestones=[round(0.67 * max_iters), round(0.89 * max_iters)],
        gamma=0.1)
]
