"""Classes of a training prompt: positives kept, negatives drawn, budget respected."""
from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glipkit.errors import UserError
from glipkit.text.negatives import BACKGROUND, SharedWords, sample_classes

NAMES = [f'class {i}' for i in range(365)]
SHORT = [2] * 365


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sets(st.integers(0, 59), max_size=20), st.integers(0, 2**32 - 1),
       st.lists(st.integers(1, 40), min_size=60, max_size=60), st.integers(40, 300))
def test_budget_uniqueness_and_order_of_claims(positives, seed, lengths, max_tokens):
    labels = sample_classes(positives, NAMES[:60], lengths, rng(seed), max_tokens=max_tokens)
    assert labels and len(set(labels)) == len(labels)
    assert all(type(label) is int and 0 <= label < 60 for label in labels)
    used = sum(lengths[label] for label in labels)
    assert used <= max_tokens
    if sum(lengths[label] for label in positives) <= max_tokens:
        assert positives <= set(labels)
    else:  # a positive is missing only if it did not fit beside the other positives
        kept = sum(lengths[label] for label in positives & set(labels))
        for label in positives - set(labels):
            assert lengths[label] > max_tokens - kept


def test_number_of_negatives():
    counts = Counter(
        len(sample_classes([1, 2], NAMES, SHORT, rng(seed), max_tokens=1000)) - 2
        for seed in range(2000))
    assert min(counts) >= 1 and max(counts) == 85
    # half of the draws ask for all 85, the others are uniform from 1 to 85
    assert counts[85] / 2000 == pytest.approx(.5 + .5 / 85, abs=.04)
    others = [n for n in counts.elements() if n < 85]
    assert np.mean(others) == pytest.approx(42.5, abs=3)


def test_positives_in_a_row_count_once_and_order_is_random():
    seen = {tuple(sample_classes([5, 5, 9], NAMES[:10], [1] * 10, rng(s), num_negatives=0))
            for s in range(30)}
    assert seen == {(5, 9), (9, 5)}
    first = Counter(sample_classes([0], NAMES, SHORT, rng(s), 9, 1.)[0] == 0 for s in range(500))
    assert first[True] / 500 == pytest.approx(.1, abs=.05)


def test_negatives_are_even():
    drawn = Counter(label for s in range(400)
                    for label in sample_classes([0], NAMES[:41], [2] * 41, rng(s), 10, 1.))
    assert drawn[0] == 400
    assert all(60 < drawn[label] < 145 for label in range(1, 41))  # expected 100


def test_background_is_never_drawn():
    names = [BACKGROUND, 'a', 'b']
    for seed in range(20):
        assert 0 not in sample_classes([], names, [1, 1, 1], rng(seed))


def test_image_without_boxes_gets_negatives():
    assert len(sample_classes([], NAMES, SHORT, rng(), full_prob=1.)) == 85


def test_small_vocabulary_is_used_up():
    assert sorted(sample_classes([2], NAMES[:4], [1] * 4, rng(), full_prob=1.)) == [0, 1, 2, 3]


def test_same_state_same_prompt():
    assert sample_classes([3], NAMES, SHORT, rng(7)) == sample_classes([3], NAMES, SHORT, rng(7))


@pytest.mark.parametrize('positives, lengths, max_tokens', [
    ([3], [1, 1, 1], 254), ([-1], [1, 1, 1], 254), ([0], [1, 1], 254), ([0], [9, 9, 9], 8)])
def test_bad_input(positives, lengths, max_tokens):
    with pytest.raises(UserError):
        sample_classes(positives, ['a', 'b', 'c'], lengths, rng(), max_tokens=max_tokens)


def test_classes_of_the_image_may_be_left_out():
    draws = [sample_classes([1, 2], NAMES[:20], [1] * 20, rng(seed), 5, leave_out_prob=.3)
             for seed in range(2000)]
    there = np.array([[label in labels for label in (1, 2)] for labels in draws])
    assert there.mean(0) == pytest.approx([.7, .7], abs=.04)
    # each by itself
    assert (~there).all(1).mean() == pytest.approx(.09, abs=.03)
    assert all(labels and len(set(labels)) == len(labels) for labels in draws)
    # what was left out is no negative, and makes no room for more of them
    assert all(len(labels) - kept <= 5 for labels, kept in zip(draws, there.sum(1)))
    never = sample_classes([1, 2], NAMES[:4], [1] * 4, rng(), 5, 1., leave_out_prob=1.)
    assert sorted(never) == [0, 3]


def test_nothing_is_left_out_where_nothing_could_be_asked_instead():
    everything = sample_classes([0, 1, 2], NAMES[:3], [1] * 3, rng(), leave_out_prob=1.)
    assert sorted(everything) == [0, 1, 2]
    without_negatives = sample_classes([0], NAMES, SHORT, rng(), 0, leave_out_prob=1.)
    assert without_negatives == [0]
    nothing_absent = sample_classes([0], NAMES, SHORT, rng(), candidates=[], leave_out_prob=1.)
    assert nothing_absent == [0]


def test_names_that_share_the_most_words():
    names = ['small red star', 'small red disc', 'small blue star', 'big red star', 'big blue disc',
             'dog', 'dog house']
    shared = SharedWords(names)
    assert shared(0) == {1, 2, 3}  # two words each; the fifth shares none
    assert shared(5) == {6} and shared(6) == {5}
    assert SharedWords(['a', 'b'])(0) == frozenset()


def test_a_share_of_the_negatives_is_like_what_is_shown():
    names = [f'red {i}' for i in range(10)] + [f'dog {i}' for i in range(10, 100)]
    rng = np.random.default_rng(0)

    def drawn(share, similar):
        found = [sample_classes([0], names, [1] * 100, rng, num_negatives=8, full_prob=1.,
                                similar=similar, similar_share=share) for _ in range(300)]
        assert all(len(f) == len(set(f)) == 9 and 0 in f for f in found)
        return np.mean([sum(0 < label < 10 for label in f) / 8 for f in found])

    shared = SharedWords(names)
    assert drawn(1., shared) == 1  # nine names are like it, eight are asked for
    assert drawn(.5, shared) == pytest.approx(.5, abs=.05)
    assert drawn(0., shared) == pytest.approx(9 / 99, abs=.03) == pytest.approx(
        drawn(.5, None), abs=.05)


def test_too_few_similar_names_are_filled_up_with_others():
    names = ['red cup', 'red jug', 'dog', 'cat', 'cow']
    found = sample_classes([0], names, [1] * 5, np.random.default_rng(0), num_negatives=4,
                           full_prob=1., similar=SharedWords(names), similar_share=1.)
    assert sorted(found) == [0, 1, 2, 3, 4]
    alone = sample_classes([2], names, [1] * 5, np.random.default_rng(0), num_negatives=2,
                           full_prob=1., similar=SharedWords(names), similar_share=1.)
    assert len(alone) == 3
