from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from glipkit.evaluation.functional import first_hit, phrase_recall
from glipkit.evaluation.functional.phrase_recall import NEVER

LEFT, RIGHT, BOTH = [0, 0, 10, 10], [30, 0, 40, 10], [0, 0, 40, 10]


def hit(boxes, targets, merged=False, scores=None):
    scores = np.linspace(.9, .1, len(boxes)) if scores is None else np.array(scores)
    return first_hit(np.array(boxes).reshape(-1, 4), scores, np.array(targets), merged)


def test_any_box_of_several_will_do():
    assert hit([RIGHT, LEFT], [LEFT, RIGHT]) == 0
    assert hit([[60, 0, 70, 10], RIGHT], [LEFT, RIGHT]) == 1
    # the box around both overlaps each by a quarter
    assert hit([BOTH], [LEFT, RIGHT]) == NEVER


def test_merged_boxes_ask_for_the_one_around_them():
    assert hit([LEFT, RIGHT], [LEFT, RIGHT], merged=True) == NEVER
    assert hit([LEFT, BOTH], [LEFT, RIGHT], merged=True) == 1
    # 20 of the 40 pixels: exactly half
    assert hit([[0, 0, 20, 10]], [LEFT, RIGHT], merged=True) == 0
    assert hit([[0, 0, 19, 10]], [LEFT, RIGHT], merged=True) == NEVER
    assert hit([LEFT], [LEFT], merged=True) == 0


def test_half_an_overlap_is_enough():
    assert hit([[0, 0, 10, 20]], [LEFT]) == 0  # 100 / 200
    assert hit([[0, 0, 10, 20.1]], [LEFT]) == NEVER
    assert hit([[0, 0, 0, 0]], [[0, 0, 0, 0]]) == NEVER


def test_the_score_ranks_and_of_equals_the_first():
    assert hit([RIGHT, LEFT], [LEFT], scores=[.2, .3]) == 0
    assert hit([RIGHT, LEFT], [LEFT], scores=[.3, .3]) == 1
    assert hit([LEFT, RIGHT], [LEFT], scores=[.3, .3]) == 0


def test_a_phrase_without_predictions_is_missed():
    assert hit([], [LEFT]) == NEVER


def test_hand_worked_recall():
    ranks = [0, 0, 1, 4, 5, 9, 10, NEVER]
    types = [['people'], ['people'], ['scene', 'people'], [], ['scene'], [], [], ['scene']]
    scores = phrase_recall(np.array(ranks), types)
    assert scores.overall == {'R@1': 2 / 8, 'R@5': 4 / 8, 'R@10': 6 / 8, 'R@all': 7 / 8}
    assert scores.per_type == {
        'people': {'R@1': 2 / 3, 'R@5': 1, 'R@10': 1, 'R@all': 1},
        'scene': {'R@1': 0, 'R@5': 1 / 3, 'R@10': 2 / 3, 'R@all': 2 / 3}}
    assert scores.phrases == 8 and 'any-box' in scores.protocol
    assert 'merged-box' in phrase_recall(np.array(ranks), merged=True).protocol
    assert set(phrase_recall(np.array([])).overall.values()) == {-1}


boxes = st.lists(st.tuples(*[st.integers(0, 20)] * 4).map(
    lambda b: [b[0], b[1], b[0] + b[2] + 1, b[1] + b[3] + 1]), min_size=1, max_size=5)


@given(boxes, boxes)
def test_rank_against_a_plain_loop(found, targets):
    def right(a):
        for b in targets:
            w = min(a[2], b[2]) - max(a[0], b[0])
            h = min(a[3], b[3]) - max(a[1], b[1])
            common = max(w, 0) * max(h, 0)
            area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
            if common / (area - common) >= .5:
                return True
        return False

    expected = next((i for i, box in enumerate(found) if right(box)), NEVER)
    assert hit(found, targets) == expected


def test_merging_one_box_changes_nothing():
    for found in ([LEFT], [RIGHT, LEFT], [BOTH]):
        assert hit(found, [LEFT], merged=True) == hit(found, [LEFT])


def test_more_boxes_never_lower_recall():
    recall = phrase_recall(np.random.default_rng(0).integers(0, 15, 50), topk=range(1, 15)).overall
    assert list(recall.values()) == sorted(recall.values())
