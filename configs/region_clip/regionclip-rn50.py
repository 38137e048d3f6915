"""RegionCLIP RN50, zero-shot: any boxes, any words.

Command:
    glipkit predict photos/ --config regionclip-rn50 \\
        --checkpoint regionclip_pretrained-cc_rn50.pth --classes "person, traffic light"
    glipkit test configs/region_clip/regionclip-rn50.py regionclip_pretrained-cc_rn50.pth
Hardware: two CPU cores or any GPU; pre-trained on 32 V100 (authors)
Time: 2.0 s for 300 regions of an 800 x 1216 image and 1,203 classes on two cores of an AMD
    EPYC, once the words are embedded (docs/region-clip.md)
Memory: 1.8 GiB at the peak of that process
Result: OV-COCO 31.4 AP50 novel, 50.4 all, after transfer (published); not measured here

The authors' weights are in their shared folder only; CLIP's own (OpenAI's RN50.pt) load too.
"""
_base_ = [
    '../_base_/models/clip_rcnn_rn50.py', '../_base_/datasets/coco_regions.py',
    '../_base_/runtime/default.py'
]
