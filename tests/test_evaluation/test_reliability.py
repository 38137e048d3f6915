"""Right detections, calibration errors and fitted maps, worked by hand."""
from __future__ import annotations

import numpy as np
import pytest

from glipkit.common.score_maps import shifted
from glipkit.evaluation.functional.reliability import (
    absent_pairs,
    fit_map,
    fit_shifts,
    judge,
    reliability,
)

BOX, NEAR, FAR = [0, 0, 10, 10], [0, 0, 10, 8], [50, 50, 60, 60]


def judged(boxes, scores, labels, truth, truth_labels, crowd=None):
    crowd = np.array(crowd or [False] * len(truth), bool)
    return judge(*map(np.array, (boxes, scores, labels)), np.array(truth, float).reshape(-1, 4),
                 np.array(truth_labels, int), crowd).tolist()


def test_a_box_is_found_once_by_the_best_score():
    assert judged([NEAR, BOX, FAR], [.5, .9, .8], [0, 0, 0], [BOX], [0]) == [0, 1, 0]


def test_another_class_is_wrong():
    assert judged([BOX, BOX], [.9, .5], [1, 0], [BOX], [0]) == [0, 1]


def test_what_lies_in_a_crowd_does_not_count():
    crowd = [0, 0, 100, 100]
    assert judged([BOX, FAR, FAR], [.9, .8, .7], [0, 0, 1], [BOX, crowd], [0, 0],
                  [False, True]) == [1, -1, 0]


def test_no_detections_and_no_boxes():
    assert judged(np.zeros((0, 4)), [], np.zeros(0, int), [BOX], [0]) == []
    assert judged([BOX], [.9], [0], [], []) == [0]


def test_the_error_of_four_detections():
    # 0.9, 0.9 of which one is right: 0.4 off; 0.1, 0.1 of which none is: 0.1 off; the mean of both
    found = reliability(np.array([.9, .9, .1, .1]), np.array([True, False, False, False]))
    assert found.error == pytest.approx(.25)
    assert found.counts.sum() == 4 and np.nanmax(found.right) == .5
    assert reliability(np.zeros(0), np.zeros(0, bool)).error == -1
    assert reliability(np.ones(3), np.ones(3, bool)).error == 0


def biased(count=4000, seed=0):
    """Scores that are right only as often as their square says."""
    rng = np.random.default_rng(seed)
    scores = rng.random(count)
    return scores, rng.random(count) < scores ** 2


def test_isotonic_maps_find_the_bias_and_keep_the_order():
    one = fit_map(*biased(), 'isotonic')
    scores, right = biased(seed=1)
    assert reliability(one(scores), right).error < .2 * reliability(scores, right).error
    assert (np.diff(one(np.linspace(0, 1, 1000))) > 0).all()
    assert one(np.array([.5]))[0] == pytest.approx(.25, abs=.06)


def test_a_temperature_is_found():
    rng = np.random.default_rng(0)
    odds = rng.normal(size=20_000) * 2
    right = rng.random(20_000) < 1 / (1 + np.exp(-odds / 2))
    assert fit_map(1 / (1 + np.exp(-odds)), right, 'temperature').temperature == \
        pytest.approx(2, rel=.1)


@pytest.mark.parametrize('method', ['isotonic', 'temperature', 'none'])
def test_nothing_to_learn_from_leaves_scores_alone(method):
    for right in (np.ones(3, bool), np.zeros(3, bool), np.zeros(0, bool)):
        scores = np.linspace(.1, .9, len(right))
        np.testing.assert_array_equal(fit_map(scores, right, method)(scores), scores)


def test_classes_are_shifted_as_far_as_their_detections_say():
    labels = np.repeat([0, 1, 2], [400, 400, 2])
    right = np.arange(802) % 4 == 0  # a quarter of all, where the map says half
    right[labels == 1], right[labels == 2] = True, False
    half = np.full(802, .5)
    shifts = fit_shifts(half, right, labels, 4, strength=1.)
    found = shifted(half, shifts[labels])
    assert found[0] == pytest.approx(.25, abs=.01) and found[400] > .95
    assert 0 < abs(shifts[2]) < abs(shifts[0]) and shifts[3] == 0
    assert not fit_shifts(half, right, labels, 4, strength=0.).any()


def test_scores_at_the_ends():
    one = fit_map(np.array([0., 0, 1, 1]), np.array([False, True, True, True]), 'isotonic')
    found = one(np.array([0., .5, 1]))
    assert (np.diff(found) > 0).all() and found[0] >= 0 and found[-1] <= 1


def test_absent_pairs():
    assert absent_pairs([[0, 0], []], 2).tolist() == [[False, True], [True, True]]
