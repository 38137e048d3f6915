"""A scoreboard as markdown, CSV, JSON and a picture."""
from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from glipkit.data.splits.odinw import published_scores
from glipkit.odinw.scoreboard import odinw_scoreboard
from glipkit.odinw.scoreboard_files import scoreboard_csv, scoreboard_markdown, write_scoreboard


def test_partial_scoreboard(tmp_path):
    board = odinw_scoreboard('13-paper', {'PascalVOC': .5, 'Rabbits': .1},
                             published_scores('glip-t-a', 'zero-shot', 0))
    text = scoreboard_markdown(board)
    for line in ('| data set | AP | published |', '| PascalVOC | 50.0 | 47.7 |',
                 '| **average of 2 (partial)** | **30.0** |  |', '| median of 2 (partial) | 30.0 |',
                 '| average where published | 30.0 | 54.1 |', '- missing: AerialDrone, Aquarium'):
        assert line in text
    rows = list(csv.reader(io.StringIO(scoreboard_csv(board))))
    assert rows[0] == ['dataset', 'title', 'ap', 'published'] and len(rows) == 1 + 13 + 2
    assert ['CottontailRabbits', 'Rabbits', '0.1', '0.605'] in rows
    assert rows[-2][0] == 'partial average' and float(rows[-2][2]) == pytest.approx(.3)
    path = write_scoreboard(board, tmp_path / 'out')
    content = json.loads(path.read_text())
    assert content['partial'] and len(content['missing']) == 11 and content['average'] == .3
    assert 'ODinW 13-paper' in content['protocol']
    assert {p.name for p in path.parent.iterdir()} == {
        f'scoreboard.{suffix}' for suffix in ('json', 'md', 'csv', 'png')}
    with Image.open(path.with_suffix('.png')) as picture:
        assert picture.width > 500 and np.asarray(picture.convert('L')).std() > 10


def test_what_was_left_out_and_why(tmp_path):
    board = odinw_scoreboard('13-paper', {'PascalVOC': .5})
    text = scoreboard_markdown(board, {'Rabbits': 'no folder'})
    assert '- Rabbits was left out: no folder' in text
    assert 'missing: AerialDrone, Aquarium, ' in text and 'Rabbits' not in text.split('missing')[1]
    content = json.loads(write_scoreboard(board, tmp_path, {'Rabbits': 'no folder'}).read_text())
    assert content['skipped'] == {'Rabbits': 'no folder'} and 'Rabbits' in content['missing']


def test_a_complete_scoreboard_is_not_called_partial():
    board = odinw_scoreboard('13-yaml', {row.name: .25 for row in
                                         odinw_scoreboard('13-yaml', {}).rows})
    text = scoreboard_markdown(board)
    assert '| **average** | **25.0** |' in text and 'partial' not in text + scoreboard_csv(board)
    assert 'missing' not in text and 'published' not in text
    assert '| **average of 0 (partial)** | **-** |' in scoreboard_markdown(
        odinw_scoreboard('35', {}))
