"""Turns, medians, spreads: the arithmetic on clocks that tests hold in their hands."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glipkit.benchmarks import harness
from glipkit.benchmarks.harness import Timing, alternate, ratio, ratio_range, turns
from glipkit.errors import UserError


class Clock:
    """A clock that only moves when somebody works."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def __call__(self):
        return self.now

    def worker(self, name, seconds):
        steps = iter(seconds)

        def work():
            self.log.append(name)
            self.now += next(steps)

        return work


def test_alternation_goes_back_and_forth_and_leaves_out_warm_ups():
    clock = Clock()
    found = alternate({'a': clock.worker('a', [50, 1, 2, 3]),
                       'b': clock.worker('b', [90, 10, 20, 40])}, rounds=3, clock=clock)
    assert clock.log == ['a', 'b', 'a', 'b', 'b', 'a', 'a', 'b']
    assert found == {'a': Timing([1, 2, 3]), 'b': Timing([10, 20, 40])}
    assert list(found) == ['a', 'b']


def test_two_warm_ups_and_one_round():
    clock = Clock()
    assert alternate({'a': clock.worker('a', [7, 8, 9])}, 1, warmup=2, clock=clock) == \
        {'a': Timing([9])}


@given(st.lists(st.text(), min_size=1, unique=True), st.integers(0, 9))
def test_everybody_has_a_turn_in_every_round(names, rounds):
    found = list(turns(names, rounds))
    for i in range(rounds):
        assert sorted(found[i * len(names):(i + 1) * len(names)]) == sorted(names)


def test_median_and_quartiles_by_hand():
    timing = Timing([4.0, 1.0, 2.0, 3.0, 100.0])
    assert timing.median == 3
    assert timing.iqr == 2  # from 2 to 4: one outlier does not move it
    assert timing.as_dict() == {'median': 3, 'iqr': 2, 'seconds': [4, 1, 2, 3, 100]}


def test_ratios():
    slow, fast = Timing([30.0, 10.0, 20.0]), Timing([2.0, 4.0, 1.0])
    assert ratio(slow, fast) == 10
    assert ratio_range(slow, fast) == (2.5, 20)


@pytest.mark.parametrize(('candidates', 'rounds', 'warmup'),
                         [({}, 1, 1), ({'a': print}, 0, 1), ({'a': print}, 1, -1)])
@pytest.mark.parametrize('function', ['alternate', 'alternate_processes'])
def test_nothing_to_measure_is_refused(function, candidates, rounds, warmup):
    with pytest.raises(UserError):
        getattr(harness, function)(candidates, rounds, warmup)
