"""RegionCLIP RN50x4, zero-shot: the larger tower, regions of 18 x 18 cells.

Command:
    glipkit predict photos/ --config regionclip-rn50x4 \\
        --checkpoint regionclip_pretrained-cc_rn50x4.pth --classes "person, traffic light"
    glipkit test configs/region_clip/regionclip-rn50x4.py regionclip_pretrained-cc_rn50x4.pth
Hardware: two CPU cores or any GPU; pre-trained on 32 V100 (authors)
Time: not measured
Memory: not measured
Result: OV-COCO 39.3 AP50 novel, 55.7 all, after transfer (published); not measured here

The authors' weights are in their shared folder only; CLIP's own (OpenAI's RN50x4.pt) load too.
"""
_base_ = [
    '../_base_/models/clip_rcnn_rn50.py', '../_base_/datasets/coco_regions.py',
    '../_base_/runtime/default.py'
]
embed_dim = 640

model = dict(
    backbone=dict(variant='rn50x4'),
    text_encoder=dict(width=640, heads=10, embed_dim=embed_dim),
    roi_head=dict(embed_dim=embed_dim))
