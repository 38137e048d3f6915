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


def write_rf100(root: Path) -> Path:
    """Two data sets of one kind, one as Roboflow exports it, with the project's name as a class;
    one of another kind, whose file is broken; one that the benchmark does not list, without
    validation pictures."""
    sets = {'bees': ['bee', 'hive'], 'jellyfish-pqc6u-ftpov-gjvb': ['jelly'], 'ball': ['ball'],
            'mine': ['parcel']}
    for folder, classes in sets.items():
        for k, split in enumerate(('train', 'valid', 'test')):
            if (folder, split) == ('mine', 'valid'):
                continue
            place = root / folder / split
            place.mkdir(parents=True)
            content = dict(images=[], annotations=[], categories=[
                dict(id=0, name='sea', supercategory='none')] if 'jelly' in folder else [])
            first = len(content['categories'])
            content['categories'] += [dict(id=first + i, name=name, supercategory='sea')
                                      for i, name in enumerate(classes)]
            for n in range(1, 4):
                Image.fromarray(picture(10 * k + n)[..., ::-1]).save(place / f'{n}.jpg')
                content['images'].append(dict(id=n, file_name=f'{n}.jpg', width=90, height=60))
                content['annotations'].append(dict(
                    id=n, image_id=n, category_id=first + n % len(classes), iscrowd=0, area=1200.,
                    bbox=[5., 8., 30., 40.]))
            text = 'null' if folder == 'ball' else json.dumps(content)
            (place / '_annotations.coco.json').write_text(text)
    return root


def test_roboflow100_vl(run, refuse, files, tmp_path):
    root = write_rf100(tmp_path / 'rf100')
    common = ['odinw', root, '--profile', 'rf100-vl', '--model', files.config, '--checkpoint',
              files.checkpoint]
    ran = run(*common, '--out', tmp_path / 'zero')
    assert ran.code == 0, ran.err
    board = read(tmp_path / 'zero')
    flora, mine = ('bees', 'jellyfish-pqc6u-ftpov-gjvb'), board['rows']['mine']
    mean = sum(board['rows'][name] for name in flora) / 2
    assert list(board['categories']) == ['Flora/Fauna', 'unlisted']
    assert board['categories']['Flora/Fauna'] == pytest.approx(mean)
    assert board['average'] == pytest.approx((2 * mean + mine) / 3) and board['partial']
    assert 'ball' in board['skipped'] and board['published_source'] is None
    for words in ('3 of 4 data sets in this folder (the benchmark has 100)', 'Roboflow100-VL',
                  'average of Flora/Fauna (2)', 'ball was left out'):
        assert words in ran.out
    asked = json.loads((tmp_path / 'zero/bees/test.bbox.json').read_text())
    assert {d['category_id'] for d in asked} <= {0, 1}
    assert 'Flora/Fauna' in (tmp_path / 'zero/scoreboard.csv').read_text()
    assert 'none in' in refuse('odinw', tmp_path / 'zero', '--profile', 'rf100-vl', '--out', 'o')


@pytest.mark.slow
def test_roboflow100_vl_tuned(run, files, tmp_path):
    """The shots of a file of the official name are taken; without validation some are set aside."""
    root = write_rf100(tmp_path / 'rf100')
    content = json.loads((root / 'bees/train/_annotations.coco.json').read_text())
    for key, name in (('images', 'id'), ('annotations', 'image_id')):
        content[key] = [one for one in content[key] if one[name] == 2]
    (root / 'bees/train/fewshot_train_shot1_seed3.json').write_text(json.dumps(content))
    ran = run('odinw', root, '--profile', 'rf100-vl', '--model', files.config, '--checkpoint',
              files.checkpoint, '--out', tmp_path / 'out', '--only', 'bees', 'mine', '--strategy',
              'head', '--shots', 1, '--seeds', 3, '--set', 'schedule.max_epochs=1',
              'schedule.copies=[]')
    assert ran.code == 0, ran.err
    board = read(tmp_path / 'out')
    assert board['rows']['bees'] is not None and board['rows']['mine'] is not None
    assert not list((tmp_path / 'out/bees').rglob('fewshot*'))
    assert list((tmp_path / 'out/mine').rglob('fewshot_train_shot1_seed3.json'))
