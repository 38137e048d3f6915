"""Which detections stay beside negatives and in exclusive groups."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glipkit.common.boxes import box_iou
from glipkit.common.settling import settle, settle_learned

HERE, NEAR, FAR = [0, 0, 10, 10], [0, 0, 10, 8], [50, 0, 60, 10]  # 0.8 in common, and nothing


@pytest.mark.parametrize('rows, groups, kept', [
    # A negative takes what is on its object and scores less, and goes itself.
    ([(HERE, .9, 0), (NEAR, .95, 2), (FAR, .3, 1)], [], [2]),
    ([(HERE, .9, 0), (NEAR, .8, 2), (FAR, .3, 1)], [], [0, 2]),
    ([(HERE, .9, 0), (NEAR, .9, 2)], [], [0]),  # as good is not better
    ([(HERE, .9, 0), ([0, 0, 10, 5], .95, 2)], [], [0]),  # half is not more than half
    # Of a group one object has one; other classes stay, and so do other objects.
    ([(HERE, .6, 0), (NEAR, .9, 1), (FAR, .2, 0)], [(0, 1)], [1, 2]),
    ([(HERE, .6, 0), (NEAR, .9, 1), (NEAR, .7, 2)], [(0, 2)], [1, 2]),
    ([(HERE, .6, 0), (NEAR, .9, 1)], [], [0, 1]),
    # What a negative took takes nothing: the helmet is none, so the head is bare.
    ([(HERE, .8, 0), (NEAR, .6, 1), (HERE, .7, 3)], [(0, 1)], [0]),
    ([], [(0, 1)], [])])
def test_by_hand(rows, groups, kept):
    boxes, scores, labels = zip(*rows) if rows else ((), (), ())
    count = 3 if 3 in labels else 2 if 2 in labels and groups == [] else 3
    found = settle(np.array(boxes, float).reshape(-1, 4), np.array(scores), np.array(labels), count,
                   groups)
    assert found.tolist() == kept


BOX = st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(7, 12)] * 2)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(BOX, st.integers(1, 99), st.integers(0, 3)), max_size=8))
def test_what_stays_is_asked_beaten_by_none_and_alone_in_its_group(rows):
    boxes = np.array([row[0] for row in rows], float).reshape(-1, 4)
    scores, labels = (np.array([row[i] for row in rows], float) for i in (1, 2))
    kept = settle(boxes, scores, labels, 3, [(0, 1)])
    overlap = box_iou(boxes, boxes) > .5
    assert (labels[kept] < 3).all() and (np.diff(kept) > 0).all()
    for i in kept:
        assert not (overlap[i] & (labels == 3) & (scores > scores[i])).any()
        rivals = [j for j in kept if j != i and labels[i] < 2 and labels[j] < 2]
        assert not overlap[i][rivals].any()
    free = [i for i in range(len(rows)) if not overlap[i][np.arange(len(rows)) != i].any()]
    assert {i for i in free if labels[i] < 3} <= set(kept.tolist())


def test_learned_negatives_take_from_learned_names_alone():
    # A word (0), a learned name (1) and a learned negative (2) on one object, another far away.
    boxes = np.array([HERE, NEAR, HERE, FAR], float)
    labels = np.array([0, 1, 2, 1])
    for scores, kept, left in (([.2, .5, .9, .1], [0, 1, 3], [.2, .25 / 1.4, .1]),
                               ([.2, .9, .5, .1], [1, 0, 3], [.81 / 1.4, .2, .1])):
        places, after = settle_learned(boxes, np.array(scores), labels, [1], 2)
        assert places.tolist() == kept
        np.testing.assert_allclose(after, left, rtol=1e-6)
    places, after = settle_learned(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), [1], 2)
    assert len(places) == len(after) == 0


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(BOX, st.integers(1, 99), st.integers(0, 3)), max_size=8))
def test_learned_negatives_lower_scores_and_lose_nothing(rows):
    boxes = np.array([row[0] for row in rows], float).reshape(-1, 4)
    scores, labels = (np.array([row[i] for row in rows], float) for i in (1, 2))
    places, after = settle_learned(boxes, scores / 100, labels, [1, 2], 3)
    assert sorted(places.tolist()) == np.flatnonzero(labels < 3).tolist()
    assert (np.diff(after) <= 0).all() and (after <= scores[places] / 100 + 1e-6).all()
    beside = (box_iou(boxes, boxes[labels == 3]) > .5).any(1)[places]
    lowered = beside & (labels[places] > 0)
    assert (after[lowered] > 0).all() and (after[lowered] < scores[places][lowered] / 100).all()
    np.testing.assert_allclose(after[~lowered], scores[places][~lowered] / 100, rtol=1e-6)
