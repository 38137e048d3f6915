"""D3, inter-scenario: ``glipkit test CONFIG CHECKPOINT --data d3_inter``.

As ``d3``, but every image is asked for all descriptions; needs no groups.
"""
_base_ = './d3.py'

ann_file = 'data/d3/d3_json/d3_full_annotations.json'

test_dataloader = dict(dataset=dict(groups_file=None))
test_evaluator = [
    dict(
        type='glipkit.DescribedMetric',
        ann_file=ann_file,
        parts=dict(
            pres='data/d3/d3_json/d3_pres_annotations.json',
            abs='data/d3/d3_json/d3_abs_annotations.json'))
]
