"""One frame of boxes: what is packed is what every metric takes, mmdet's among them."""
from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from PIL import Image

from glipkit.data import CocoDetection
from glipkit.evaluation import GroundingCocoMetric, LvisMetric

# A pixel more or less of boxes as small as these is far below an IoU of 0.95.
BOXES = {1: [[4, 5, 6, 7], [20, 10, 30, 8]], 2: [[0, 0, 64, 48], [50.5, 40, 9, 8]]}
NAMES = ('red dog', 'cat')
PIPELINE = [
    dict(type='glipkit.LoadImage'), dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='glipkit.ShortSideResize', scale=(200, 72)),
    dict(type='glipkit.ShortSideResize', scale=(200, 96)), dict(type='glipkit.PackGrounding')]


@pytest.fixture
def ann_file(tmp_path):
    """Two images, readable as COCO and as LVIS."""
    for i in BOXES:
        Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / f'{i}.png')
    content = dict(
        images=[dict(id=i, file_name=f'{i}.png', width=64, height=48, neg_category_ids=[],
                     not_exhaustive_category_ids=[]) for i in BOXES],
        annotations=[dict(id=10 * i + k, image_id=i, category_id=k + 1, bbox=box, iscrowd=0,
                          area=box[2] * box[3], segmentation=[])
                     for i, boxes in BOXES.items() for k, box in enumerate(boxes)],
        categories=[dict(id=k + 1, name=name, frequency='f') for k, name in enumerate(NAMES)])
    path = tmp_path / 'boxes.json'
    path.write_text(json.dumps(content))
    return str(path)


def answered_by_the_truth(ann_file):
    """Packed samples whose predictions are their ground truth, back in the original image."""
    dataset = CocoDetection(ann_file=ann_file, data_prefix=dict(img=ann_file.rsplit('/', 1)[0]),
                            pipeline=PIPELINE, test_mode=True)
    for i in range(len(dataset)):
        sample = dataset[i]['data_samples']
        truth = sample.gt_instances
        assert sample.scale_factor == (2, 2) and len(truth) == 2
        boxes = truth.bboxes / torch.tensor(sample.scale_factor).repeat(2)
        sample.pred_instances = InstanceData(bboxes=boxes, labels=truth.labels,
                                             scores=torch.tensor([.9, .8]))
        yield sample


def make_mmdets(ann_file):
    metric = CocoMetric(ann_file=ann_file, metric='bbox')
    metric.dataset_meta = dict(classes=NAMES)
    return metric


@pytest.mark.parametrize('make, score', [
    (make_mmdets, 'coco/bbox_mAP'), (GroundingCocoMetric, 'coco/AP'),
    (lambda path: LvisMetric(path, trim_pixel=False), 'lvis_fixed/AP')])
def test_the_ground_truth_scores_1(ann_file, make, score):
    evaluator = Evaluator(make(ann_file))
    for sample in answered_by_the_truth(ann_file):
        evaluator.process([sample])
    assert evaluator.evaluate(2)[score] == pytest.approx(1, abs=1e-6)


def test_the_official_habit_is_below_1(ann_file):
    evaluator = Evaluator(LvisMetric(ann_file))
    for sample in answered_by_the_truth(ann_file):
        evaluator.process([sample])
    assert evaluator.evaluate(2)['lvis_fixed/AP'] < .9
