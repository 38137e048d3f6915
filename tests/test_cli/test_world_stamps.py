"""The command that makes the stamps world, on a made-up stamps folder."""
import pytest

from glipkit.cli.main import door
from glipkit.testing.toy_stamps import draw_toy_stamps

SMALL = ['--train-det', '2', '--train-grd', '2', '--val', '3', '--image-size', '96']

main = door('world', 'stamps')


def test_makes_a_world_and_reports_counts(tmp_path, capsys):
    toys = draw_toy_stamps(tmp_path / 'toys')
    assert main(['--out', str(tmp_path / 'world'), '--stamps', str(toys), *SMALL]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith('stamps world in') and 'val: 3 pictures' in printed
    assert len(list((tmp_path / 'world/images/val').glob('*.jpg'))) == 3


def test_missing_stamps_are_one_line_and_exit_code_2(tmp_path, capsys):
    for option in ('--stamps', '--deb'):
        assert main(['--out', str(tmp_path / 'world'), option, str(tmp_path / 'none')]) == 2
        printed = capsys.readouterr().err
        assert printed.startswith('glipkit world stamps: error: expected')
        assert printed.count('\n') == 1
    assert not (tmp_path / 'world').exists()


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        main(['--help'])
    assert stop.value.code == 0
    assert '--deb tuxpaint-stamps-default' in capsys.readouterr().out
