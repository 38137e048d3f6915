"""The same for L/14 models: images of 896 pixels, crops of 336."""
_base_ = './coco_panoptic_regions.py'

test_pipeline = [
    dict(type='glipkit.LoadImage'),
    dict(type='glipkit.LoadSegments'),
    dict(type='glipkit.CutRegions', size=336, masks='bicubic_antialias'),
    dict(type='glipkit.LongSideResize', size=896),
    dict(type='glipkit.PackGrounding')
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
