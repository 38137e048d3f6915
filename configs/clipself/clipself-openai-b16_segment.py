"""CLIPSelf with OpenAI's ViT-B/16 names every pixel of ADE20K, those of COCO, or given masks.

Command:
    glipkit test configs/clipself/clipself-openai-b16_segment.py \\
        ViT-B-16.pt
    glipkit test configs/clipself/clipself-openai-b16_segment.py \\
        ViT-B-16.pt --data coco_stuff_semantic
    glipkit test configs/clipself/clipself-openai-b16_segment.py \\
        ViT-B-16.pt --data coco_panoptic_segments
Hardware: two CPU cores or any GPU
Time: not measured
Memory: not measured
Result: ADE20K 29.0 mIoU as tower of CAT-Seg (leaderboard), which trains a segmenter on it; not
    measured here

ViT-B-16.pt is what the distillation begins with. Masks of `coco_panoptic_segments` are given:
annotated ones, or those of a segmenter.
"""
_base_ = [
    '../_base_/models/dense_clip_openai-b16.py', '../_base_/datasets/ade20k_semantic.py',
    '../_base_/runtime/default.py'
]
