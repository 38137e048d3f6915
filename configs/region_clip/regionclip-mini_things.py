"""RegionCLIP in miniature: names plain shapes of any size in any boxes.

Command:
    glipkit world things --out data/things
    glipkit test configs/region_clip/regionclip-mini_things.py \\
        glipkit/weights/regionclip-mini.safetensors
    glipkit predict data/things/images/val --config regionclip-mini \\
        --classes "red circle, blue star"
Hardware: one CPU thread, no GPU
Time: 12 s for 200 pictures (AMD EPYC)
Memory: 1.0 GB at the peak of the process
Result: AP50 4.4 with the grid's boxes; see regionclip-mini_things_gt-boxes.py

Trained by regionclip-mini_things_pretrain.py. More in glipkit/weights/regionclip-mini.md.
"""
_base_ = [
    '../_base_/models/clip_mini.py', '../_base_/datasets/things.py', '../_base_/runtime/default.py'
]

model = dict(
    type='glipkit.ClipRCNN',
    backbone=_base_.clip_tower,
    text_encoder=_base_.clip_words,
    roi_head=dict(type='glipkit.ClipRoIHead', embed_dim=64),
    box_source=dict(type='glipkit.GridBoxes', sizes=(0.15, 0.2, 0.3, 0.4), shapes=(1., )),
    templates='name',
    data_preprocessor=_base_.clip_input,
    test_cfg=dict(score_threshold=0.05, nms_iou=0.3, max_per_image=100))
