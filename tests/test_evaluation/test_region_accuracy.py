"""Accuracy of naming given regions, against numbers worked out by hand."""
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

from glipkit.apis.build import build_model
from glipkit.errors import UserError
from glipkit.evaluation.functional import region_accuracy, true_ranks
from glipkit.registry import METRICS
from glipkit.testing.tiny_clip_rcnn import TINY_CONFIG
from glipkit.text.query import Query

NAMES = ('cat', 'dog', 'cow', 'sky')
#: Four regions; their own classes rank 0, 1, 2 and 0.
SCORES = np.array([[.9, .1, .0, .0], [.5, .4, .1, .0], [.3, .4, .2, .1], [.1, .2, .3, .4]])
LABELS = np.array([0, 1, 2, 3])


def test_ranks_by_hand():
    assert true_ranks(SCORES, LABELS).tolist() == [0, 1, 2, 0]
    assert true_ranks(np.zeros((3, 3)), [0, 1, 2]).tolist() == [0, 1, 2], 'ties as argmax has them'
    assert true_ranks(np.zeros((0, 5)), []).tolist() == []


def test_shares_by_hand():
    # class 0: ranks 0, 0, 3 -> 2 of 3; class 1: rank 1 -> 0 of 1
    found = region_accuracy([0, 0, 3, 1], [0, 0, 0, 1], 10, dict(new=[1, 7], none=[5]), top=(1, 2))
    assert found.overall == {'top1': .5, 'top2': .75, 'mean_top1': pytest.approx(1 / 3),
                             'mean_top2': pytest.approx((2 / 3 + 1) / 2)}
    assert found.per_class == {0: {'top1': pytest.approx(2 / 3), 'top2': pytest.approx(2 / 3)},
                               1: {'top1': 0., 'top2': 1.}}
    assert found.groups['new'] == {'top1': 0., 'mean_top1': 0., 'top2': 1., 'mean_top2': 1.}
    assert set(found.groups['none'].values()) == {-1.}
    assert found.chance == .1 and found.regions == 4


def test_no_region_at_all():
    found = region_accuracy([], [], 3)
    assert found.overall == dict.fromkeys(('top1', 'mean_top1', 'top5', 'mean_top5'), -1.)


def sample(img_id, rows, names=NAMES, kinds=None, scores=True):
    data = DetDataSample(metainfo=dict(img_id=img_id, text=names))
    truth = InstanceData(labels=torch.from_numpy(LABELS[rows]))
    if kinds is None:
        data.gt_instances = truth
    else:
        truth.kinds = [kinds[row] for row in rows]
        data.gt_instances = InstanceData(labels=torch.zeros(7, dtype=torch.long))
        data.gt_regions = truth
    if scores:
        data.pred_regions = InstanceData(scores=torch.from_numpy(SCORES[rows]))
    return data


def evaluate(samples, **kwargs):
    metric = METRICS.build(dict(type='glipkit.RegionAccuracyMetric', **kwargs))
    evaluator = Evaluator(metric)
    for one in samples:
        evaluator.process([one])
    return evaluator.evaluate(len(samples)), metric.protocol


def test_metric_of_boxes_and_groups():
    groups = dict(base=['cat', 'dog'], novel=['cow', 'sky'])
    # image 1 comes twice, as a distributed sampler may have it
    metrics, protocol = evaluate([sample(1, [0, 1]), sample(2, [2, 3]), sample(1, [0, 1]),
                                  sample(3, [])], groups=groups, top=(1, 2))
    assert metrics['region/top1'] == .5 and metrics['region/top2'] == .75
    assert metrics['region/novel_top2'] == .5 and metrics['region/base_mean_top1'] == .5
    assert protocol == ('generalised (base 2, novel 2 asked at once), accuracy of 4 given regions '
                        'of 3 images over 4 names, chance 0.2500')


def test_kinds_of_regions_have_their_own_numbers():
    kinds = ['thing_box', 'thing_mask', 'thing_mask', 'stuff_mask']
    metrics, _ = evaluate([sample(1, [0, 1, 2, 3], kinds=kinds)])
    assert metrics['region/thing_box_top1'] == 1 == metrics['region/stuff_mask_mean_top1']
    assert metrics['region/thing_mask_top1'] == 0 and metrics['region/thing_mask_top5'] == 1


@pytest.mark.parametrize('broken, said', [
    (lambda: sample(1, [0], scores=False), 'none for img_id 1'),
    (lambda: sample(1, [0], names=NAMES[:2]), r'shape \(1, 4\)'),
    (lambda: sample(1, [0], names='a cat'), 'a cat')])
def test_samples_that_fit_nothing_are_refused(broken, said):
    with pytest.raises(UserError, match=said):
        evaluate([broken()])


def test_different_names_and_broken_scores_are_refused():
    with pytest.raises(UserError, match='same class names'):
        evaluate([sample(1, [0]), sample(2, [0], names=tuple(reversed(NAMES)))])
    nan = sample(1, [0])
    nan.pred_regions.scores[0, 0] = float('nan')
    with pytest.raises(UserError, match='finite'):
        evaluate([nan])


def test_a_detector_names_true_boxes_for_the_metric():
    cfg = Config.fromstring(TINY_CONFIG, '.py')
    cfg.model.box_source = dict(type='glipkit.TruthBoxes')
    cfg.model.test_cfg.name_regions = True
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    boxes = torch.tensor([[0., 0, 40, 40], [20, 20, 64, 64], [4, 30, 30, 50]])
    asked = DetDataSample(metainfo=dict(img_id=1, text=NAMES, img_shape=(64, 64)))
    asked.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 1, 3]))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        found, = model(images, [asked], mode='predict')
        expected, = model.classify_regions(images, [boxes], Query.for_classes(NAMES))
    assert found.pred_regions.scores.shape == (3, 4)
    assert torch.equal(found.pred_regions.scores.argmax(1), expected.argmax(1))
    metrics, _ = evaluate([found])
    right = (expected.argmax(1) == asked.gt_instances.labels).float().mean()
    assert metrics['region/top1'] == pytest.approx(float(right))
