"""CLIPSelf B/16: a dense map of EVA-02 CLIP; any boxes, any words.

Command:
    glipkit predict photos/ --config clipself-b16 \\
        --checkpoint eva_vitb16_coco_clipself_proposals.pt --classes "person, traffic light"
    glipkit test configs/clipself/clipself-b16.py eva_vitb16_coco_clipself_proposals.pt
Hardware: two CPU cores or any GPU; distilled on 8 A100 (authors)
Time: not measured
Memory: not measured
Result: OV-COCO 37.6 AP50 novel as backbone of F-ViT (published); not measured here

The authors' weights are in their shared folder only; EVA-CLIP's own
(EVA02_CLIP_B_psz16_s8B.pt), which they began with, loads too, and names regions far less well.
"""
_base_ = [
    '../_base_/models/dense_clip_eva-b16.py', '../_base_/datasets/coco_dense.py',
    '../_base_/runtime/default.py'
]
