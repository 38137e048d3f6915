"""CLIPSelf B/16 names every pixel of ADE20K, those of COCO, or given masks.

Command:
    glipkit test configs/clipself/clipself-b16_segment.py \\
        eva_vitb16_coco_clipself_proposals.pt
    glipkit test configs/clipself/clipself-b16_segment.py \\
        eva_vitb16_coco_clipself_proposals.pt --data coco_stuff_semantic
    glipkit test configs/clipself/clipself-b16_segment.py \\
        eva_vitb16_coco_clipself_proposals.pt --data coco_panoptic_segments
Hardware: two CPU cores or any GPU
Time: not measured
Memory: not measured
Result: not measured

The authors publish no number of the tower alone, without a segmenter around it. Masks of
`coco_panoptic_segments` are given: annotated ones, or those of a segmenter.
"""
_base_ = [
    '../_base_/models/dense_clip_eva-b16.py', '../_base_/datasets/ade20k_semantic.py',
    '../_base_/runtime/default.py'
]
