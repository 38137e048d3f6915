"""Thresholds of classes, on counts that can be followed by hand."""
from __future__ import annotations

import numpy as np
import pytest

from glipkit.errors import UserError
from glipkit.evaluation.functional import thresholds
from glipkit.evaluation.functional.thresholds import (
    Rule,
    Scored,
    best_single,
    choose_threshold,
    f1,
    steady_thresholds,
)

#: Scores 0.9 and 0.8 are right, 0.6 is wrong, 0.4 is right; four boxes, one is never found.
OWN = Scored(np.array([.9, .8, .6, .4]), np.array([True, True, False, True]), 4)


@pytest.fixture
def alone(monkeypatch):
    """Without the counts of the other classes."""
    monkeypatch.setattr(thresholds, 'PRIOR', 0.)


def test_counts_and_f1():
    right, wrong = OWN.counts(np.array([0., .5, .8, .95]))
    assert (right.tolist(), wrong.tolist()) == ([3, 2, 2, 0], [1, 1, 0, 0])
    np.testing.assert_allclose(f1(right, wrong, 4), [6 / 8, 4 / 7, 4 / 6, 0])


@pytest.mark.parametrize('rule, least, most', [
    ('precision=0.75', 0, .4), ('precision=0.9', .6, .8), ('precision=1', .6, .8),
    ('fp-per-image=0', .6, .8), ('fp-per-image=0.5', 0, .4)])
def test_what_each_rule_chooses(alone, rule, least, most):
    found, reached = choose_threshold(Rule.read(rule), OWN, OWN, images=2, classes=1)
    assert reached and (least < found <= most if least else found < most)


def test_a_rule_that_is_not_reached(alone):
    wrong = Scored(np.array([.9, .5]), np.array([False, True]), 1)
    found, reached = choose_threshold(Rule.read('precision=0.9'), wrong, wrong, 2, 1)
    assert not reached and found <= .5  # half of them are right there, and nowhere more


def test_few_boxes_go_with_all_classes_and_many_decide():
    rng = np.random.default_rng(0)
    # A class of 5000 scores, one of two, of which the upper is right, and one of 500.
    labels = np.repeat([0, 1, 2], [5000, 2, 500])
    scores = rng.random(len(labels))
    right = scores > np.array([.3, 0, .65])[labels]
    scores[labels == 1], right[labels == 1] = (.7, .6), (True, False)
    images = np.arange(len(labels)) % 400
    truth = np.stack([np.bincount(images[right & (labels == one)], minlength=400)
                      for one in range(3)], 1)
    found = steady_thresholds(scores, right, labels, images, truth)
    assert found[1] == pytest.approx(.3, abs=.02) and found[2] == pytest.approx(.65, abs=.05)


def test_f1_of_a_class_alone(alone):
    scores, right = np.tile(OWN.scores, 50), np.tile(OWN.right, 50)  # in many pictures
    images = np.repeat(np.arange(50), 4)
    truth = np.full((50, 1), OWN.boxes)
    assert steady_thresholds(scores, right, np.zeros(200, int), images, truth)[0] < .4


def test_a_class_that_was_never_detected_and_nothing_at_all():
    none = Scored(np.zeros(0), np.zeros(0, bool), 0)
    for rule in ('precision=0.9', 'fp-per-image=0.1'):
        found, _ = choose_threshold(Rule.read(rule), none, none, 3, 2)
        assert 0 <= found <= 1
    nothing = steady_thresholds(none.scores, none.right, np.zeros(0, int), np.zeros(0, int),
                                np.zeros((3, 2)))
    assert ((0 <= nothing) & (nothing <= 1)).all()
    assert 0 <= best_single([none]) <= 1 and 0 <= best_single([]) <= 1


def test_the_best_single_threshold_is_a_compromise():
    low = Scored(np.array([.4, .2]), np.array([True, False]), 1)
    high = Scored(np.array([.9, .6]), np.array([True, False]), 1)
    # Below 0.4 both are found, and one of two is wrong for the second; above, the first is lost.
    assert .2 < best_single([low, high]) < .4


def test_steady_thresholds_of_classes_that_differ():
    rng = np.random.default_rng(0)
    images, labels = np.repeat(np.arange(200), 4), np.tile([0, 0, 1, 1], 200)
    scores = rng.random(800)
    right = scores > np.array([.3, .7])[labels]
    truth = np.stack([np.bincount(images[right & (labels == one)], minlength=200)
                      for one in (0, 1)], 1)
    found = steady_thresholds(scores, right, labels, images, truth)
    np.testing.assert_allclose(found, [.3, .7], atol=.03)
    np.testing.assert_array_equal(found, steady_thresholds(scores, right, labels, images, truth))


@pytest.mark.parametrize('text', ['', 'F1', 'precision', 'precision=0', 'precision=1.1', 'recall=1',
                                  'fp-per-image=-1', 'precision=nan', 'fp-per-image=1e999',
                                  'precision=1.2.3'])
def test_what_is_no_rule(text):
    with pytest.raises(UserError, match='expected f1, precision=0.9'):
        Rule.read(text)


def test_a_rule_is_written_as_it_is_read():
    for text in ('f1', 'precision=0.9', 'fp-per-image=0.1'):
        assert str(Rule.read(text)) == text
