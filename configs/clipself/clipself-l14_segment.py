"""CLIPSelf L/14 names every pixel of ADE20K, those of COCO, or given masks.

Command:
    glipkit test configs/clipself/clipself-l14_segment.py \\
        eva_vitl14_coco_clipself_proposals.pt
    glipkit test configs/clipself/clipself-l14_segment.py \\
        eva_vitl14_coco_clipself_proposals.pt --data coco_stuff_semantic
    glipkit test configs/clipself/clipself-l14_segment.py \\
        eva_vitl14_coco_clipself_proposals.pt --data coco_panoptic_segments
Hardware: a GPU
Time: not measured
Memory: not measured
Result: not measured

The authors publish no number of the tower alone, without a segmenter around it. Masks of
`coco_panoptic_segments` are given: annotated ones, or those of a segmenter.
"""
_base_ = [
    '../_base_/models/dense_clip_eva-l14.py', '../_base_/datasets/ade20k_semantic.py',
    '../_base_/runtime/default.py'
]

test_pipeline = [
    dict(type='glipkit.LoadImage'),
    dict(type='glipkit.LoadLabels'),
    dict(type='glipkit.LongSideResize', size=896),
    dict(type='glipkit.PackGrounding')
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
