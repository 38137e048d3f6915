"""Given boxes, crops and masks of COCO's things and stuff: ``glipkit test clipself-b16 FILE --data
coco_panoptic_regions``.

Layout: ``data/coco/{val2017/, annotations/panoptic_val2017.json, annotations/panoptic_val2017/}``.
CLIPSelf's protocol: accuracy over 133 names, mean over classes, top 1 and 5. Of the official code's
masks, ``bicubic_antialias`` is what it computes with today's torchvision.
"""
test_pipeline = [
    dict(type='glipkit.LoadImage'),
    dict(type='glipkit.LoadSegments'),
    dict(type='glipkit.CutRegions', size=224, masks='bicubic_antialias'),
    dict(type='glipkit.LongSideResize', size=1024),
    dict(type='glipkit.PackGrounding')
]
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        type='glipkit.CocoPanoptic',
        data_root='data/coco/',
        ann_file='annotations/panoptic_val2017.json',
        data_prefix=dict(img='val2017/', seg='annotations/panoptic_val2017/'),
        test_mode=True,
        pipeline=test_pipeline))
test_evaluator = dict(type='glipkit.RegionAccuracyMetric')
