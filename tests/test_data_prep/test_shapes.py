"""The command that makes the shapes world."""
import json
import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / 'data_prep/shapes.py'
SMALL = ['--train-det', '2', '--train-grd', '2', '--val', '3', '--image-size', '96']


@pytest.fixture(scope='module')
def main():
    return runpy.run_path(str(SCRIPT))['main']


def test_makes_a_world_and_reports_counts(main, tmp_path, capsys):
    assert main(['--out', str(tmp_path), *SMALL]) == 0
    told = capsys.readouterr().out
    assert 'train_det: 2 pictures' in told and 'val: 3 pictures' in told and 'unseen:' in told
    assert len(list((tmp_path / 'images/val').glob('*.jpg'))) == 3
    manifest = json.loads((tmp_path / 'manifest.json').read_text())
    assert manifest['complete'] and manifest['settings']['val'] == 3
    assert main(['--out', str(tmp_path), *SMALL]) == 0
    again = capsys.readouterr().out
    assert again.endswith(told) and 'nothing to do' in again


def test_help_has_examples(main, capsys):
    with pytest.raises(SystemExit) as stop:
        main(['--help'])
    assert stop.value.code == 0
    assert 'python data_prep/shapes.py --out' in capsys.readouterr().out


@pytest.mark.parametrize('wrong', [['--val', '-1'], ['--image-size', '10'], ['--seed', '-5']])
def test_bad_numbers_are_one_line_and_exit_code_2(main, tmp_path, capsys, wrong):
    assert main(['--out', str(tmp_path / 'new'), *wrong]) == 2
    told = capsys.readouterr().err
    assert told.startswith('error: expected') and told.count('\n') == 1
    assert not (tmp_path / 'new').exists()


def test_folder_of_somebody_else_is_refused(main, tmp_path, capsys):
    (tmp_path / 'images').mkdir()
    assert main(['--out', str(tmp_path), *SMALL]) == 2
    assert 'choose another output folder' in capsys.readouterr().err
    (tmp_path / 'file').write_text('')
    assert main(['--out', str(tmp_path / 'file'), *SMALL]) == 2
    assert 'choose another path' in capsys.readouterr().err
