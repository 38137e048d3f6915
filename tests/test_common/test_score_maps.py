"""Maps from scores to probabilities."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glipkit.common.score_maps import ScoreMap

BENT = ScoreMap(points=((0., 0.), (.5, .2), (1., 1.)))


def test_straight_between_points():
    np.testing.assert_allclose(BENT(np.array([0, .25, .5, .75, 1])), [0, .1, .2, .6, 1])
    np.testing.assert_allclose(BENT.inverse(np.array([.1, .6])), [.25, .75])


def test_a_temperature_of_two_halves_the_log_odds():
    # logit(0.8) = 1.386; half of it is the logit of 2 / 3
    np.testing.assert_allclose(ScoreMap(2.)(np.array([.8, .5])), [2 / 3, .5])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(.1, 5))
def test_order_stays_and_the_inverse_comes_back(scores, temperature):
    one = ScoreMap(temperature, BENT.points)
    scores = np.sort(scores)
    found = one(scores)
    assert (np.diff(found) >= 0).all() and (found >= 0).all() and (found <= 1).all()
    inside = (scores > 1e-3) & (scores < 1 - 1e-3) & (found > 1e-6) & (found < 1 - 1e-6)
    np.testing.assert_allclose(one.inverse(found)[inside], scores[inside], atol=1e-4)


@pytest.mark.parametrize('content', [
    None, {}, {'points': [[0, 0]]}, {'points': [[0, 0], [1, float('nan')]]}, {'points': 'ab'},
    {'points': [[0, 0], [.5, .5], [.5, .6], [1, 1]]}, {'points': [[0, .5], [1, .5]]},
    {'points': [[.1, 0], [1, 1]]}, {'points': [[0, 0], [1, 2]]}, {'points': [[0, 0, 0], [1, 1]]},
    {'points': [[0, 0], [1, 1]], 'temperature': 0}, {'points': [[0, 0], [1, '1']]},
    {'points': [[0, 0], [1, 1]], 'temperature': True},
    {'points': [[i / 10_001, i / 10_001] for i in range(10_002)]}])
def test_what_is_no_map(content):
    with pytest.raises(ValueError):
        ScoreMap.from_json(content)


def test_a_map_comes_back():
    assert ScoreMap.from_json(ScoreMap(1.5, BENT.points).as_json()) == ScoreMap(1.5, BENT.points)
