"""Detections out of raw outputs: numbers by hand, and equality with the models' own steps."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from glipkit.common.boxes import nms
from glipkit.models.heads import postprocess as heads
from glipkit.models.roi_heads.postprocess import RegionSettings
from glipkit.models.roi_heads.postprocess import detections as of_regions
from glipkit.runtime.rules import Found, detections, in_original

ANCHORS = dict(kind='anchors', edge=1, score_threshold=.05, nms_pre=1000, nms_iou=.6,
               max_per_image=100, keep_ties=True)
REGIONS = dict(kind='regions', edge=0, score_threshold=.1, nms_iou=.5, max_per_image=2,
               keep_ties=False)


def boxes(generator, count):
    corners = generator.uniform(0, 60, (count, 2))
    return np.concatenate([corners, corners + generator.uniform(1, 40, (count, 2))],
                          1).astype(np.float32)


def test_anchors_by_hand():
    outputs = dict(
        boxes=np.array([[[0, 0, 9, 9], [0, 0, 9, 8], [20, 20, 49, 59]]], np.float32),
        scores=np.array([[[.9, 0], [.8, .05], [0, .36]]], np.float32),
        centerness=np.array([[.9, .5, 1.]], np.float32), level=np.array([0, 0, 1]))
    found = detections(outputs, ANCHORS, (3, ), (40, 30))
    # The second overlaps the first by 0.88, and its other label is not above the threshold.
    np.testing.assert_allclose(found.scores, [.9, .6], atol=1e-6)
    assert found.labels.tolist() == [3, 4]
    # The last pixels of an image of 30 x 40 are 29 and 39.
    assert found.boxes.tolist() == [[0, 0, 9, 9], [20, 20, 29, 39]]
    original = in_original(found, ANCHORS, (.5, .5), (80, 60))
    assert original.boxes.tolist() == [[0, 0, 19, 19], [40, 40, 59, 79]]


def test_regions_by_hand():
    outputs = dict(boxes=np.array([[0, 0, 10, 10], [1, 0, 11, 10], [5, 5, 5, 9], [-4, 2, 3, 99]],
                                  np.float32),
                   scores=np.array([[.1, .2], [.3, .1], [.9, 0], [0, .8]], np.float32))
    found = detections(outputs, dict(REGIONS, max_per_image=9), (0, ), (50, 40))
    assert found.labels.tolist() == [0, 1, 0, 1]
    np.testing.assert_allclose(found.scores, [.9, .8, .3, .2])
    # What has no area in the original image is left out.
    original = in_original(found, REGIONS, (1., 1.), (50, 40))
    assert original.boxes.tolist() == [[0, 2, 3, 50], [1, 0, 11, 10], [0, 0, 10, 10]]
    assert len(detections(outputs, REGIONS, (0, ), (50, 40)).scores) == 2


@pytest.mark.parametrize('seed', range(3))
def test_anchors_as_in_the_detector(seed):
    generator = np.random.default_rng(seed)
    sizes, settings = (60, 20), heads.TestSettings(.3, nms_pre=25, nms_iou=.5, max_per_image=12)
    outputs = dict(boxes=np.stack([boxes(generator, 80) for _ in range(2)]),
                   scores=generator.random((2, 80, 3), np.float32),
                   centerness=generator.random((2, 80), np.float32),
                   level=np.repeat([0, 1], sizes))
    rules = dict(ANCHORS, score_threshold=.3, nms_pre=25, nms_iou=.5, max_per_image=12)
    found = detections(outputs, rules, (0, 3), (70, 90))
    parts = []
    for i, start in enumerate((0, 3)):
        scores, centers, own = (torch.from_numpy(outputs[name][i]).split(sizes)
                                for name in ('scores', 'centerness', 'boxes'))
        part = heads.select_candidates(scores, centers, own, settings)
        part.labels += start
        parts.append(part)
    expected = heads.suppress(heads.Candidates.cat(parts), (70, 90), settings)
    np.testing.assert_array_equal(found.boxes, expected.bboxes)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-6)


def test_regions_as_in_the_detector():
    generator = np.random.default_rng(0)
    outputs = dict(boxes=boxes(generator, 50), scores=generator.random((50, 4), np.float32))
    settings = RegionSettings(score_threshold=.2, nms_iou=.4, max_per_image=20)
    found = detections(outputs, dict(REGIONS, score_threshold=.2, nms_iou=.4, max_per_image=20),
                       (0, ), (80, 70))
    expected = of_regions(torch.from_numpy(outputs['boxes']), torch.from_numpy(outputs['scores']),
                          None, (80, 70), settings)
    np.testing.assert_array_equal(found.boxes, expected.bboxes)
    np.testing.assert_array_equal(found.labels, expected.labels)


@pytest.mark.parametrize('kind', [ANCHORS, REGIONS])
def test_nothing_is_found(kind):
    outputs = dict(boxes=np.zeros((1, 3, 4), np.float32), scores=np.zeros((1, 3, 2), np.float32),
                   centerness=np.ones((1, 3), np.float32), level=np.zeros(3, np.int64))
    if kind is REGIONS:
        outputs = dict(boxes=np.zeros((0, 4), np.float32), scores=np.zeros((0, 2), np.float32))
    found = in_original(detections(outputs, kind, (0, ), (9, 9)), kind, (1., 1.), (9, 9))
    assert isinstance(found, Found) and found.boxes.shape == (0, 4)
    assert found.scores.shape == found.labels.shape == (0, )


def test_suppression_is_torchvisions():
    from torchvision.ops import batched_nms
    generator = np.random.default_rng(1)
    found, scores = boxes(generator, 200), generator.random(200).round(1).astype(np.float32)
    labels = generator.integers(0, 3, 200)
    kept = nms(found, scores, .5, labels)
    expected = batched_nms(*map(torch.from_numpy, (found, scores, labels)), .5).numpy()
    np.testing.assert_array_equal(np.sort(kept), np.sort(expected))
    assert (np.diff(scores[kept]) <= 0).all()
