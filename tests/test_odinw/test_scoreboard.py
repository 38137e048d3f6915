from __future__ import annotations

import pytest

from glipkit.data.splits.odinw import odinw_datasets, published_scores
from glipkit.errors import UserError
from glipkit.odinw.scoreboard import odinw_scoreboard


@pytest.mark.parametrize('profile, count', [('13-paper', 13), ('13-yaml', 13), ('35', 35)])
def test_all_data_sets(profile, count):
    names = [dataset.name for dataset in odinw_datasets(profile)]
    board = odinw_scoreboard(profile, {name: k / 100 for k, name in enumerate(names)})
    assert [row.name for row in board.rows] == names and len(names) == count
    # 0, 1, ..., n - 1 have the mean and the median (n - 1) / 2
    assert board.average == pytest.approx((count - 1) / 200) == board.median
    assert not board.partial and not board.missing
    assert f'ODinW {profile}' in board.protocol and f'{count} of {count}' in board.protocol


def test_what_is_missing_is_named_and_the_mean_marked():
    board = odinw_scoreboard('13-paper', {'PascalVOC': .5, 'pothole': .1, 'Aquarium': .0,
                                          'Raccoon': -1})
    assert board.partial and board.average == pytest.approx(.2) and board.median == .1
    assert len(board.missing) == 10 and 'Raccoon' in board.missing
    assert '3 of 13' in board.protocol
    assert odinw_scoreboard('35', {}).average is None


def test_published_figures_stand_beside():
    published = published_scores('glip-t-a', 'zero-shot', 0)
    board = odinw_scoreboard('13-paper', {'PascalVOC': .5, 'pothole': .1}, published)
    by_title = {row.title: row for row in board.rows}
    assert by_title['PascalVOC'].published == pytest.approx(.477)
    # PascalVOC 47.7 and Pothole 0.8
    assert board.shared == (pytest.approx(.3), pytest.approx((.477 + .008) / 2))
    assert 'glip-t-a' in board.published_source
    full = odinw_scoreboard('13-paper', {row.name: .1 for row in board.rows}, published)
    assert full.shared[1] == pytest.approx(.288, abs=5e-4)  # the paper's own average
    many = odinw_scoreboard('35', {'BCCD': .7}, published)
    assert many.shared is None


@pytest.mark.parametrize('profile, scores, message', [
    ('13', {}, "'13'"), ('13-paper', {'BCCD': .5}, 'BCCD'), ('35', {'Aquarium': 44.}, '44'),
    ('35', {'Pothole': .1, 'pothole': .2}, 'othole')])
def test_bad_scores(profile, scores, message):
    with pytest.raises(UserError, match=message):
        odinw_scoreboard(profile, scores)
