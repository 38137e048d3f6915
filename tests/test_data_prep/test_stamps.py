"""The command that makes the stamps world, on a made-up stamps folder."""
import runpy
from pathlib import Path

import pytest

from glipkit.testing.toy_stamps import draw_toy_stamps

SCRIPT = Path(__file__).parents[2] / 'data_prep/stamps.py'
SMALL = ['--train-det', '2', '--train-grd', '2', '--val', '3', '--image-size', '96']


@pytest.fixture(scope='module')
def main():
    return runpy.run_path(str(SCRIPT))['main']


def test_makes_a_world_and_reports_counts(main, tmp_path, capsys):
    toys = draw_toy_stamps(tmp_path / 'toys')
    assert main(['--out', str(tmp_path / 'world'), '--stamps', str(toys), *SMALL]) == 0
    told = capsys.readouterr().out
    assert told.startswith('stamps world in') and 'val: 3 pictures' in told
    assert len(list((tmp_path / 'world/images/val').glob('*.jpg'))) == 3


def test_missing_stamps_are_one_line_and_exit_code_2(main, tmp_path, capsys):
    for option in ('--stamps', '--deb'):
        assert main(['--out', str(tmp_path / 'world'), option, str(tmp_path / 'none')]) == 2
        told = capsys.readouterr().err
        assert told.startswith('error: expected') and told.count('\n') == 1
    assert not (tmp_path / 'world').exists()


def test_help_has_examples(main, capsys):
    with pytest.raises(SystemExit) as stop:
        main(['--help'])
    assert stop.value.code == 0
    assert '--deb tuxpaint-stamps-default' in capsys.readouterr().out
