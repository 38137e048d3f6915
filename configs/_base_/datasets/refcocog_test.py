"""RefCOCOg, test: ``glipkit test CONFIG CHECKPOINT --data refcocog_test``."""
_base_ = './refcoco_val.py'

ann_file = 'data/coco/mdetr_annotations/finetune_refcocog_test.json'

test_dataloader = dict(dataset=dict(ann_file='mdetr_annotations/finetune_refcocog_test.json'))
test_evaluator = [dict(type='glipkit.ReferringMetric', ann_file=ann_file)]
