"""Objects365 and GoldG, as GLIP-T (C) is trained.

Beside Objects365: MDETR's ``data/mdetr_annotations/final_mixed_train_no_coco.json`` with
``data/gqa/images``, and ``final_flickr_separateGT_train.json`` with ``data/flickr30k_images``.
data_prep/mixed_grounding.py cleans the one, data_prep/flickr30k.py makes the other.
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
