"""CLIPSelf in miniature: a dense map that names plain shapes in any boxes, masks and pixels.

Command:
    glipkit world things --out data/things --masks
    glipkit test configs/clipself/clipself-mini_things.py \\
        glipkit/weights/clipself-mini.safetensors --data things_semantic
    glipkit predict data/things/images/val --config clipself-mini \\
        --classes "red circle, blue star" --segment
Hardware: one CPU thread, no GPU
Time: 12 s for the pixels of 200 pictures (AMD EPYC)
Memory: 1.0 GB at the peak of the process
Result: mean IoU 24.0 of the pixels of things over 42 names; boxes: clipself-mini_things_gt-boxes.py

Trained by clipself-mini_things_distil-proposals.py. More in glipkit/weights/clipself-mini.md.
"""
_base_ = [
    '../_base_/models/clip_vit_mini.py', '../_base_/datasets/things.py',
    '../_base_/runtime/default.py'
]

model = dict(
    type='glipkit.DenseClip',
    backbone=_base_.clip_tower,
    text_encoder=_base_.clip_words,
    box_source=dict(type='glipkit.GridBoxes', sizes=(0.15, 0.2, 0.3, 0.4), shapes=(1., )),
    templates='name',
    data_preprocessor=_base_.clip_input,
    test_cfg=dict(score_threshold=0.05, nms_iou=0.3, max_per_image=100))

test_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    # As the pictures are drawn.
    dict(type='glipkit.LongSideResize', size=192),
    dict(type='glipkit.PackGrounding')
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
