"""RefCOCO, val: ``glipkit test CONFIG CHECKPOINT --data refcoco_val``.

Layout: ``data/coco/{mdetr_annotations/finetune_refcoco_val.json, train2014/}``, the former from
MDETR's annotations; ``refcocoplus_*`` and ``refcocog_*`` beside it. A list of references as JSON
(``refs.json`` with ``instances_file`` and ``split``) is read as well. No score is too low to be the
best one.
"""
data_root = 'data/coco/'
ann_file = data_root + 'mdetr_annotations/finetune_refcoco_val.json'

test_dataloader = dict(
    dataset=dict(
        type='glipkit.ReferringExpressions',
        data_root=data_root,
        ann_file='mdetr_annotations/finetune_refcoco_val.json',
        data_prefix=dict(img='train2014/'),
        test_mode=True))
test_evaluator = [dict(type='glipkit.ReferringMetric', ann_file=ann_file)]
test_settings = dict(score_threshold=0.)
