from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glipkit.data.draw_plan import DrawPlan, quotas_from_weights
from glipkit.errors import UserError


@pytest.mark.parametrize('lengths, weights, quotas', [
    ([90, 10], [1, 1], [50, 50]),
    ([90, 10], [0.9, 0.1], [90, 10]),
    ([5, 5], [2, 1], [7, 3]),  # shares 6.67 and 3.33
    ([3, 3, 4], [1, 1, 1], [4, 3, 3]),  # equal fractions: the first source
    ([1, 1], [1, 2], [1, 1]),
])
def test_quotas(lengths, weights, quotas):
    assert quotas_from_weights(lengths, weights) == quotas


@pytest.mark.parametrize('weights', [[1, 0], [1, -1], [1, float('nan')], ['1', '2'],
                                     [1, None], [1, float('inf')],
                                     [1000, 1]])
def test_bad_weights(weights):
    with pytest.raises(UserError, match='weight'):
        quotas_from_weights([5, 5], weights)


def test_every_sample_comes_its_number_of_times_per_pass():
    plan = DrawPlan([4, 3], [8, 3], seed=7)
    passes = [[plan[k * 11 + i] for i in range(11)] for k in range(3)]
    for draws in passes:
        assert Counter(draws) == {**dict.fromkeys(range(4), 2), **dict.fromkeys(range(4, 7), 1)}
    assert len({tuple(draws) for draws in passes}) == 3


def test_a_source_is_gone_through_before_it_repeats():
    plan = DrawPlan([5, 100], [2, 10], seed=0)
    small = [i for draw in range(60) if (i := plan[draw]) < 5]
    assert len(small) == 10 and Counter(small) == dict.fromkeys(range(5), 2)
    assert len(set(small[:4])) == 4  # two passes with two draws each, from one round of five


def test_without_shuffling_sources_follow_one_another():
    plan = DrawPlan([2, 3], [2, 6], seed=0, shuffle=False)
    assert [plan[i] for i in range(16)] == [0, 1, 2, 3, 4, 2, 3, 4] * 2


def test_seeds_differ():
    orders = {tuple(DrawPlan([30], [30], seed).order(0).tolist()) for seed in range(5)}
    assert len(orders) == 5


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 30)), min_size=1, max_size=4),
       st.integers(0, 5))
def test_any_stretch_is_computed_on_its_own(sources, seed):
    lengths, quotas = zip(*sources)
    plan, other = (DrawPlan(lengths, quotas, seed) for _ in range(2))
    forward = [plan[i] for i in range(3 * plan.pass_length)]
    backward = [other[i] for i in reversed(range(3 * plan.pass_length))][::-1]
    assert forward == backward
    for source, (length, quota) in enumerate(sources):
        begin = plan.offsets[source]
        # in rounds: after any number of passes no sample is more than one draw ahead of another
        counts = Counter(i for i in forward if begin <= i < begin + length)
        assert sum(counts.values()) == 3 * quota
        assert max(counts.values()) - min(counts.get(begin + i, 0) for i in range(length)) <= 1
