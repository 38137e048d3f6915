"""The command that makes the shapes world."""
import json

import pytest

from glipkit.cli.main import door

SMALL = ['--train-det', '2', '--train-grd', '2', '--val', '3', '--image-size', '96']

main = door('world', 'shapes')


def test_makes_a_world_and_reports_counts(tmp_path, capsys):
    assert main(['--out', str(tmp_path), *SMALL]) == 0
    printed = capsys.readouterr().out
    assert 'train_det: 2 pictures' in printed and 'val: 3 pictures' in printed
    assert 'unseen:' in printed
    assert len(list((tmp_path / 'images/val').glob('*.jpg'))) == 3
    manifest = json.loads((tmp_path / 'manifest.json').read_text())
    assert manifest['complete'] and manifest['settings']['val'] == 3
    assert main(['--out', str(tmp_path), *SMALL]) == 0
    again = capsys.readouterr().out
    assert again.endswith(printed) and 'nothing to do' in again


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        main(['--help'])
    assert stop.value.code == 0
    assert 'glipkit world shapes --out' in capsys.readouterr().out


@pytest.mark.parametrize('wrong', [['--val', '-1'], ['--image-size', '10'], ['--seed', '-5']])
def test_bad_numbers_are_one_line_and_exit_code_2(tmp_path, capsys, wrong):
    assert main(['--out', str(tmp_path / 'new'), *wrong]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith('glipkit world shapes: error: expected') and printed.count('\n') == 1
    assert not (tmp_path / 'new').exists()


def test_folder_of_somebody_else_is_refused(tmp_path, capsys):
    (tmp_path / 'images').mkdir()
    assert main(['--out', str(tmp_path), *SMALL]) == 2
    assert 'choose another output folder' in capsys.readouterr().err
    (tmp_path / 'file').write_text('')
    assert main(['--out', str(tmp_path / 'file'), *SMALL]) == 2
    assert 'choose another output folder' in capsys.readouterr().err
