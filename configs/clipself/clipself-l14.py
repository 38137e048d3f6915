"""CLIPSelf L/14: the larger tower, images of 896 pixels.

Command:
    glipkit predict photos/ --config clipself-l14 \\
        --checkpoint eva_vitl14_coco_clipself_proposals.pt --classes "person, traffic light"
    glipkit test configs/clipself/clipself-l14.py eva_vitl14_coco_clipself_proposals.pt
Hardware: a GPU; distilled on 8 A100 (authors)
Time: not measured
Memory: not measured
Result: OV-COCO 44.3 AP50 novel as backbone of F-ViT (published); not measured here

The authors' weights are in their shared folder only; EVA-CLIP's own
(EVA02_CLIP_L_336_psz14_s6B.pt), which they began with, loads too.
"""
_base_ = [
    '../_base_/models/dense_clip_eva-l14.py', '../_base_/datasets/coco_dense.py',
    '../_base_/runtime/default.py'
]

test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.ShortSideResize', scale=(896, 896), interpolation='bicubic'),
    dict(type='glipkit.PackGrounding')
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
