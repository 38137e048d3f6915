"""Base and novel classes in the metrics, and how a result line names the protocol."""
import json

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

from glipkit.evaluation import GroundingCocoMetric, LvisMetric
from glipkit.text.splits.open_vocabulary import class_split

#: One picture each: a person (base) is found, a cat (novel) is missed by half of its box.
FOUND = {'person': (1, [0, 0, 40, 40]), 'cat': (2, [0, 0, 20, 40])}


@pytest.fixture
def coco_file(tmp_path):
    names = class_split('ov-coco').classes + ('fire hydrant', )
    ids = {name: i for i, name in enumerate(names, 1)}
    content = dict(
        images=[dict(id=i, file_name=f'{i}.jpg', width=64, height=48, neg_category_ids=[],
                     not_exhaustive_category_ids=[]) for i in (1, 2)],
        categories=[dict(id=i, name=name, frequency='f') for name, i in ids.items()],
        annotations=[dict(id=i, image_id=i, category_id=ids[name], bbox=[0, 0, 40, 40],
                          area=1600, iscrowd=0) for i, name in ((1, 'person'), (2, 'cat'))])
    path = tmp_path / 'ovd_ins_val2017_all.json'
    path.write_text(json.dumps(content))
    return str(path)


def samples(asked):
    for name, (img_id, box) in FOUND.items():
        sample = DetDataSample(metainfo=dict(img_id=img_id, text=asked))
        sample.pred_instances = InstanceData(
            labels=torch.tensor([asked.index(name)] if name in asked else [], dtype=torch.long),
            bboxes=torch.tensor([box] if name in asked else [], dtype=torch.float).reshape(-1, 4),
            scores=torch.tensor([.9] if name in asked else []))
        yield sample


def evaluate(metric, asked):
    evaluator = Evaluator(metric)
    for sample in samples(asked):
        evaluator.process([sample])
    return evaluator.evaluate(2)


def test_base_and_novel_ap50_of_ov_coco(coco_file):
    metric = GroundingCocoMetric(coco_file, groups='ov-coco')
    scores = evaluate(metric, class_split('ov-coco').classes)
    # The cat's box has an IoU of exactly a half with the truth: found at 0.5, missed above.
    assert scores['coco/base_AP'] == pytest.approx(1) == scores['coco/novel_AP50']
    assert scores['coco/novel_AP'] == pytest.approx(.1)
    assert scores['coco/AP50'] == pytest.approx(1)
    assert metric.protocol.startswith('generalised (base 48, novel 17 asked at once), COCO box AP')
    assert '65 of 66 classes' in metric.protocol


def test_novel_classes_alone_are_not_called_generalised(coco_file):
    metric = GroundingCocoMetric(coco_file, groups='ov-coco')
    scores = evaluate(metric, class_split('ov-coco').members['novel'])
    assert scores['coco/base_AP50'] == -1 and scores['coco/novel_AP50'] == pytest.approx(1)
    assert metric.protocol.startswith('not generalised (base 0 of 48, novel 17 of 17 asked), ')


def test_classes_in_turns_are_not_called_generalised(coco_file):
    metric = GroundingCocoMetric(coco_file, groups='ov-coco')
    split = class_split('ov-coco')
    evaluator = Evaluator(metric)
    first, _ = samples(split.members['base'])
    _, second = samples(split.members['novel'])
    evaluator.process([first])
    evaluator.process([second])
    evaluator.evaluate(2)
    assert metric.protocol.startswith('not generalised (base 48, novel 17 asked in turns), ')


def test_lvis_names_the_protocol_too(coco_file):
    groups = class_split('ov-coco').groups
    metric = LvisMetric(coco_file, groups=groups, trim_pixel=False)
    scores = evaluate(metric, class_split('ov-coco').classes)
    assert scores['lvis_fixed/base_AP'] == pytest.approx(1)
    assert scores['lvis_fixed/novel_AP50'] == pytest.approx(1), 'no pixel is taken off the boxes'
    assert metric.protocol.startswith('generalised (base 48, novel 17 asked at once), ')
    assert 'w = x2 - x1,' in metric.protocol
