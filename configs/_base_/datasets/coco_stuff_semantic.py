"""COCO-Stuff, a class for every pixel: ``glipkit test clipself-b16 FILE --data
coco_stuff_semantic``.

Layout: ``data/coco/{val2017/, stuffthingmaps/val2017/}``, as it is released: 171 classes by the
categories' ids, 255 is not scored. For ``*_labelTrainIds.png`` of mmsegmentation:
``convention='coco-stuff', label_suffix='_labelTrainIds.png'``. For models with a dense map; mean
IoU.
"""
_base_ = './ade20k_semantic.py'

test_dataloader = dict(
    dataset=dict(
        data_root='data/coco/',
        metainfo=dict(classes='coco-stuff'),
        convention='coco-stuff-ids',
        data_prefix=dict(img='val2017/', seg='stuffthingmaps/val2017/')))
