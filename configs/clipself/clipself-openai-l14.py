"""CLIPSelf with OpenAI's ViT-L/14-336, images of 672 pixels.

Command:
    glipkit predict photos/ --config clipself-openai-l14 \\
        --checkpoint ViT-L-14-336px.pt --classes "person, traffic light"
    glipkit test configs/clipself/clipself-openai-l14.py ViT-L-14-336px.pt
Hardware: a GPU; distilled on 8 A100 (authors)
Time: not measured
Memory: not measured
Result: ADE20K 34.5 mIoU as tower of CAT-Seg (leaderboard); not measured here

OpenAI's ViT-L-14-336px.pt, before the distillation, loads, and so does what the authors' code
saves.
"""
_base_ = [
    '../_base_/models/dense_clip_openai-l14.py', '../_base_/datasets/coco_dense.py',
    '../_base_/runtime/default.py'
]

test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.ShortSideResize', scale=(672, 672), interpolation='bicubic'),
    dict(type='glipkit.PackGrounding')
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
