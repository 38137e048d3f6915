"""Flickr30k Entities, test: ``glipkit test CONFIG CHECKPOINT --data flickr30k_test``."""
_base_ = './flickr30k_val.py'

ann_file = 'data/flickr30k/final_flickr_separateGT_test.json'

test_dataloader = dict(dataset=dict(ann_file='final_flickr_separateGT_test.json'))
test_evaluator = [
    dict(type='glipkit.PhraseRecallMetric', ann_file=ann_file),
    dict(type='glipkit.PhraseRecallMetric', ann_file=ann_file, merged=True)
]
