"""Objects365 and GoldG, as GLIP-T (C) is trained.

Beside Objects365: MDETR's ``data/mdetr_annotations/final_mixed_train_no_coco.json`` with
``data/gqa/images``, and ``final_flickr_separateGT_train.json`` with ``data/flickr30k_images``.
``glipkit prepare mixed-grounding`` cleans the former, ``glipkit prepare flickr30k`` makes the
latter.
"""
_base_ = './objects365.py'

mixed_grounding = dict(
    type='glipkit.MdetrGrounding',
    data_root='data/',
    ann_file='mdetr_annotations/final_mixed_train_no_coco.json',
    data_prefix=dict(img='gqa/images/'))
flickr30k = dict(
    type='glipkit.FlickrGrounding',
    data_root='data/',
    ann_file='mdetr_annotations/final_flickr_separateGT_train.json',
    data_prefix=dict(img='flickr30k_images/'))
train_dataloader = dict(
    dataset=dict(datasets=[{{_base_.objects365}}, mixed_grounding, flickr30k]))
