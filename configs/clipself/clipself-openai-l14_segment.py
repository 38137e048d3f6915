"""CLIPSelf with OpenAI's ViT-L/14-336 names every pixel of ADE20K, those of COCO, or given masks.

Command:
    glipkit test configs/clipself/clipself-openai-l14_segment.py \\
        ViT-L-14-336px.pt
    glipkit test configs/clipself/clipself-openai-l14_segment.py \\
        ViT-L-14-336px.pt --data coco_stuff_semantic
    glipkit test configs/clipself/clipself-openai-l14_segment.py \\
        ViT-L-14-336px.pt --data coco_panoptic_segments
Hardware: a GPU
Time: not measured
Memory: not measured
Result: ADE20K 34.5 mIoU as tower of CAT-Seg (leaderboard), which trains a segmenter on it; not
    measured here

ViT-L-14-336px.pt is what the distillation begins with. Masks of `coco_panoptic_segments` are given:
annotated ones, or those of a segmenter.
"""
_base_ = [
    '../_base_/models/dense_clip_openai-l14.py', '../_base_/datasets/ade20k_semantic.py',
    '../_base_/runtime/default.py'
]

test_pipeline = [
    dict(type='glipkit.LoadImage'),
    dict(type='glipkit.LoadLabels'),
    dict(type='glipkit.LongSideResize', size=672),
    dict(type='glipkit.PackGrounding')
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
