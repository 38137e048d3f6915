"""CLIPSelf with OpenAI's ViT-B/16, of any shape of image.

Command:
    glipkit predict photos/ --config clipself-openai-b16 \\
        --checkpoint ViT-B-16.pt --classes "person, traffic light"
    glipkit test configs/clipself/clipself-openai-b16.py ViT-B-16.pt
Hardware: two CPU cores or any GPU; distilled on 8 A100 (authors)
Time: not measured
Memory: not measured
Result: ADE20K 29.0 mIoU as tower of CAT-Seg (leaderboard); not measured here

OpenAI's ViT-B-16.pt, before the distillation, loads, and so does what the authors' code saves.
"""
_base_ = [
    '../_base_/models/dense_clip_openai-b16.py', '../_base_/datasets/coco_dense.py',
    '../_base_/runtime/default.py'
]
