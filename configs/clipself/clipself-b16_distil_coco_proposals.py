"""CLIPSelf B/16 on COCO's images, in boxes without labels.

Command:
    torchrun --nproc_per_node=8 tools/train.py \\
        configs/clipself/clipself-b16_distil_coco_proposals.py --launcher pytorch --amp
    glipkit convert work_dirs/clipself-b16_distil_coco_proposals/iter_44358.pth \\
        clipself-b16_proposals.safetensors --text EVA02_CLIP_B_psz16_s8B.pt
Hardware: 8 A100-80G (authors); not trained here
Time: about 2 h (author, issue 3 of the official repository); not measured here
Memory: not measured
Result: OV-COCO 37.6 AP50 novel as backbone of F-ViT (readme); not measured here

Boxes are those of any detector, in COCO's results format: ``outfile_prefix`` of ``glipkit test``
writes them, and so does `Detections.to_coco`; those of a detector that was trained on boxes make
the label-free claim one of the grids alone. Crops show half as much again as their boxes. The
authors' file is coco_proposals.json.
"""
_base_ = 'clipself-b16_distil_coco.py'

pipeline = [
    dict(type='glipkit.LoadImage', imdecode_backend='fast'),
    dict(type='glipkit.DrawProposals', max_boxes=20, crop_scale=1.5),
    dict(type='glipkit.CutCrops', size=224),
    dict(type='glipkit.WithProposals', transforms=[dict(type='glipkit.LongSideResize', size=1024)]),
    dict(type='mmdet.Pad', size=(1024, 1024)),
    dict(type='glipkit.PackGrounding')
]
train_dataloader = dict(
    dataset=dict(datasets=[
        dict(**{
            **_base_.images, 'proposals': 'annotations/coco_proposals.json', 'pipeline': pipeline
        })
    ]))
