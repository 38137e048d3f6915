"""``glipkit odinw`` on a release of which two data sets are there, and one is damaged."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from glipkit.testing.tiny_glip import picture
from glipkit.worlds import shapes


@pytest.fixture(scope='module')
def release(tmp_path_factory) -> Path:
    return write_release(tmp_path_factory.mktemp('odinw'))


def write_release(root: Path) -> Path:
    """Two data sets, and one whose classes are wrong."""
    for folder, classes in (('pothole', ['pothole']), ('thermalDogsAndPeople', ['dog', 'person']),
                            ('Packages/Raw', ['parcel'])):
        for k, split in enumerate(('train', 'valid', 'test')):
            place = root / folder / split
            place.mkdir(parents=True)
            content = dict(images=[], annotations=[],
                           categories=[dict(id=i, name=n) for i, n in enumerate(classes, 1)])
            for n in range(1, 3):
                Image.fromarray(picture(10 * k + n)[..., ::-1]).save(place / f'{n}.jpg')
                content['images'].append(dict(id=n, file_name=f'{n}.jpg', width=90, height=60))
                content['annotations'].append(dict(
                    id=n, image_id=n, category_id=1 + n % len(classes), iscrowd=0, area=1200.,
                    bbox=[5., 8., 30., 40.]))
            (place / 'annotations_without_background.json').write_text(json.dumps(content))
    return root


def read(path: Path) -> dict:
    board = json.loads((path / 'scoreboard.json').read_text())
    board['rows'] = {row['title']: row['ap'] for row in board['rows']}
    return board


def test_zero_shot_and_tuned(run, files, release, tmp_path):
    base = ['--config', files.config]
    common = [release, '--model', base[1], '--checkpoint', files.checkpoint]
    ran = run('odinw', *common, '--out', tmp_path / 'zero')
    assert ran.code == 0, ran.err
    board = read(tmp_path / 'zero')
    assert {path.name for path in (tmp_path / 'zero').glob('scoreboard.*')} == {
        f'scoreboard.{suffix}' for suffix in ('json', 'md', 'csv', 'png')}
    assert {title for title, ap in board['rows'].items() if ap is not None} == {
        'Pothole', 'Thermal'}
    assert board['average'] == pytest.approx(
        (board['rows']['Pothole'] + board['rows']['Thermal']) / 2)
    assert 'parcel' in board['skipped']['Packages'] and 'no folder' in board['skipped']['Raccoon']
    assert 'Packages was left out' in ran.out and '2 of 13 data sets' in ran.out
    assert (tmp_path / 'zero/thermalDogsAndPeople/test.bbox.json').is_file()

    ran = run('odinw', *common, '--out', tmp_path / 'tuned', '--strategy', 'head', '--shots', 1,
              '--seeds', 3, '--only', 'Pothole', '--set', 'schedule.max_epochs=1',
              'schedule.copies=[]')
    assert ran.code == 0, ran.err
    assert read(tmp_path / 'tuned')['rows']['Pothole'] is not None
    task = tmp_path / 'tuned/pothole'
    report = json.loads((task / 'report.json').read_text())
    assert report['scored_on'] == 'test' and (task / 'task.safetensors').is_file()
    # The paper's words for potholes.
    assert json.loads((tmp_path / 'tuned/prompts/pothole.yaml').read_text())['pothole'][
        'name'] == 'holes'


def test_nothing_to_score_and_wrong_settings(refuse, release, tmp_path):
    empty = tmp_path / 'empty'
    empty.mkdir()
    (empty / 'readme.txt').touch()
    assert 'no folder' in refuse('odinw', empty, '--out', 'o', '--only', 'Pothole')
    assert 'magic' in refuse('odinw', release, '--out', 'o', '--strategy', 'magic')
    assert 'unicorns' in refuse('odinw', release, '--out', 'o', '--only', 'unicorns')


@pytest.mark.parametrize(('folder', 'said'), [('empty', 'which is empty'), ('none', 'no folder')])
def test_a_folder_without_data_sets(refuse, tmp_path, folder, said):
    (tmp_path / 'empty').mkdir()
    assert said in refuse('odinw', tmp_path / folder, '--out', tmp_path / 'out')


def test_kinds_of_things_of_a_world(run, files, tmp_path):
    """A world is recognised; a kill between two data sets costs nothing."""
    world, out = tmp_path / 'shapes', tmp_path / 'out'
    shapes.build(world, num_train_det=60, num_train_grd=1, num_val=24, image_size=128, workers=1)
    common = ['odinw', world, '--model', files.config, '--checkpoint', files.checkpoint]
    ran = run(*common, '--out', out, '--only', 'star', 'cross')
    assert ran.code == 0, ran.err
    board = read(out)
    assert {title for title, ap in board['rows'].items() if ap is not None} == {'star', 'cross'}
    assert set(board['rows']) > {'star', 'cross'} and board['published_source'] is None
    assert 'Kinds of things of a world' in ran.out and 'left out' not in ran.out
    first = (out / 'star/zero_shot.json').stat().st_mtime_ns
    assert run(*common, '--out', out, '--only', 'star', 'cross').code == 0
    assert (out / 'star/zero_shot.json').stat().st_mtime_ns == first

    ran = run(*common, '--out', tmp_path / 'tuned', '--only', 'star', '--strategy', 'head',
              '--shots', 1, '--seeds', 3, '--set', 'schedule.max_epochs=1', 'schedule.copies=[]')
    assert ran.code == 0, ran.err
    assert read(tmp_path / 'tuned')['rows']['star'] is not None
    assert (tmp_path / 'tuned/star/task.safetensors').is_file()
