"""D3, intra-scenario: ``glipkit test CONFIG CHECKPOINT --data d3``.

Layout: ``data/d3/{d3_json/d3_{full,pres,abs}_annotations.json, groups.json, d3_images/}``. The
release has the groups as a pickle; docs/protocols.md says how they become the json. Each image is
asked for the descriptions of its group, the setting of published numbers; ``d3_inter`` asks for
all 422. ``test_dataloader.dataset.at_once=1`` asks each description alone.
"""
data_root = 'data/d3/'
ann_file = data_root + 'd3_json/d3_full_annotations.json'

test_dataloader = dict(
    dataset=dict(
        type='glipkit.DescribedDetection',
        data_root=data_root,
        ann_file='d3_json/d3_full_annotations.json',
        groups_file='groups.json',
        data_prefix=dict(img='d3_images/'),
        test_mode=True))
test_evaluator = [
    dict(
        type='glipkit.DescribedMetric',
        ann_file=ann_file,
        groups_file=data_root + 'groups.json',
        parts=dict(
            pres=data_root + 'd3_json/d3_pres_annotations.json',
            abs=data_root + 'd3_json/d3_abs_annotations.json'))
]
