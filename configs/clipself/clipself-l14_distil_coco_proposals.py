"""CLIPSelf L/14 on COCO's images of 896 pixels, in boxes without labels.

Command:
    torchrun --nproc_per_node=8 tools/train.py \\
        configs/clipself/clipself-l14_distil_coco_proposals.py --launcher pytorch --amp
    glipkit convert work_dirs/clipself-l14_distil_coco_proposals/iter_44358.pth \\
        clipself-l14_proposals.safetensors --text EVA02_CLIP_L_336_psz14_s6B.pt
Hardware: 8 A100-80G (authors); not trained here
Time: about 6 h (author, issue 3 of the official repository); not measured here
Memory: not measured
Result: OV-COCO 44.3 AP50 novel as backbone of F-ViT (readme); not measured here

As clipself-b16_distil_coco_proposals.py.
"""
_base_ = 'clipself-l14_distil_coco.py'

pipeline = [
    dict(type='glipkit.LoadImage', imdecode_backend='fast'),
    dict(type='glipkit.DrawProposals', max_boxes=20, crop_scale=1.5),
    dict(type='glipkit.CutCrops', size=336),
    dict(type='glipkit.WithProposals', transforms=[dict(type='glipkit.LongSideResize', size=896)]),
    dict(type='mmdet.Pad', size=(896, 896)),
    dict(type='glipkit.PackGrounding')
]
train_dataloader = dict(
    dataset=dict(datasets=[
        dict(**{
            **_base_.images, 'proposals': 'annotations/coco_proposals.json', 'pipeline': pipeline
        })
    ]))
