"""RefCOCO+, testA (people): ``glipkit test CONFIG CHECKPOINT --data refcocoplus_testA``."""
_base_ = './refcoco_val.py'

ann_file = 'data/coco/mdetr_annotations/finetune_refcoco+_testA.json'

test_dataloader = dict(dataset=dict(ann_file='mdetr_annotations/finetune_refcoco+_testA.json'))
test_evaluator = [dict(type='glipkit.ReferringMetric', ann_file=ann_file)]
