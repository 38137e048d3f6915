"""OmniLabel, val: ``glipkit test CONFIG CHECKPOINT --data omnilabel_val``.

Layout: ``data/omnilabel/{dataset_all_val_v0.1.3.json, images/}``; names of images begin with their
source, as ``object365/``, ``coco/``, ``openimagesv5/``.
"""
data_root = 'data/omnilabel/'
ann_file = data_root + 'dataset_all_val_v0.1.3.json'

test_dataloader = dict(
    dataset=dict(
        type='glipkit.DescribedDetection',
        data_root=data_root,
        ann_file='dataset_all_val_v0.1.3.json',
        data_prefix=dict(img='images/'),
        test_mode=True))
test_evaluator = [dict(type='glipkit.OmniLabelMetric', ann_file=ann_file)]
