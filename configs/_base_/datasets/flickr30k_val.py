"""Flickr30k Entities, val: ``glipkit test CONFIG CHECKPOINT --data flickr30k_val``.

Layout: ``data/flickr30k/{final_flickr_separateGT_val.json, flickr30k_images/}``, the former from
MDETR's annotations. Recall in both protocols; published GLIP numbers are any-box.
"""
data_root = 'data/flickr30k/'
ann_file = data_root + 'final_flickr_separateGT_val.json'

test_dataloader = dict(
    dataset=dict(
        type='glipkit.FlickrGrounding',
        data_root=data_root,
        ann_file='final_flickr_separateGT_val.json',
        data_prefix=dict(img='flickr30k_images/'),
        test_mode=True))
test_evaluator = [
    dict(type='glipkit.PhraseRecallMetric', ann_file=ann_file),
    dict(type='glipkit.PhraseRecallMetric', ann_file=ann_file, merged=True)
]
