"""RefCOCO, testB (all else): ``glipkit test CONFIG CHECKPOINT --data refcoco_testB``."""
_base_ = './refcoco_val.py'

ann_file = 'data/coco/mdetr_annotations/finetune_refcoco_testB.json'

test_dataloader = dict(dataset=dict(ann_file='mdetr_annotations/finetune_refcoco_testB.json'))
test_evaluator = [dict(type='glipkit.ReferringMetric', ann_file=ann_file)]
