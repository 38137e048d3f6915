"""Folders of other programs on the command line: one data set in every layout, checked and tuned;
and what a prediction saves is read again."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.box_sets import LAYOUTS, write_world

PARTS = {'train': {'a.png': [('dog', 3, 4, 50, 60), ('cat', 10, 0, 60, 40)],
                   'b.png': [('cat', 10, 20, 33, 47)], 'c.png': [],
                   'd.png': [('dog', 30, 8, 62, 59)]},
         'val': {'e.png': [('cat', 5, 5, 60, 64)], 'f.png': [('dog', 8, 30, 40, 59)]}}
SIZES = {'a.png': (96, 64), 'b.png': (64, 80), 'c.png': (64, 64), 'd.png': (80, 64),
         'e.png': (64, 64), 'f.png': (64, 64)}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('GLIPKIT_HOME', str(tmp_path / 'home'))


@pytest.fixture
def world(tmp_path):
    return lambda layout: write_world(tmp_path / layout, layout, PARTS, SIZES, ('cat', 'dog'))


@pytest.mark.slow
def test_tuning_is_the_same_from_another_layout(run, world, files, tmp_path):
    """Bit for bit: equal images, boxes and classes in equal order make equal draws.

    That all layouts give these is in test_apis/test_data_sets.py, so two of them are tuned on.
    """
    results = {}
    for layout in ('coco', 'yolo'):
        out = tmp_path / f'out_{layout}'
        ran = run('tune', world(layout), '--out', out, '--model', files.config, '--checkpoint',
                  files.checkpoint, '--strategy', 'head', '--set', 'schedule.max_epochs=2',
                  'schedule.batch_size=2')
        assert ran.code == 0, ran
        result = json.loads((out / 'seed_3/result.json').read_text())
        results[layout] = (load_file(out / 'task.safetensors'), result['scores'],
                           result['history'], result['train_images'])
    weights, *numbers = results['coco']
    assert weights and numbers[-1] == 4
    for layout, (others, *other_numbers) in results.items():
        assert other_numbers == numbers, layout
        assert others.keys() == weights.keys()
        assert all(others[key].equal(weights[key]) for key in weights), layout


def test_a_tune_says_what_it_has_recognised(refuse, tmp_path, world):
    empty = tmp_path / 'empty'
    empty.mkdir()
    said = refuse('tune', empty, '--out', tmp_path / 'x')
    assert 'data.yaml' in said and 'with nothing' in said
    root = world('yolo')
    (root / 'train/labels/a.txt').write_text('0 0.5 0.5\n')
    said = refuse('tune', root, '--out', tmp_path / 'x')
    assert 'train/labels/a.txt:1: 3 columns' in said and f'glipkit check-data {root}' in said
    assert 'both' in refuse('tune', root, '--out', tmp_path / 'x', '--val-images', root)


@pytest.mark.parametrize('layout', LAYOUTS)
def test_check_data(run, world, layout, tmp_path):
    root = world(layout)
    ran = run('check-data', root, '--json', tmp_path / 'r.json')
    assert ran.code == 0, ran
    lines = [' '.join(line.split()) for line in ran.out.splitlines()]
    assert sum('4 images, 4 usable boxes of 4, 2 classes' in line for line in lines) == 1
    assert sum('2 images, 2 usable boxes of 2, 2 classes' in line for line in lines) == 1
    report = json.loads((tmp_path / 'r.json').read_text())
    assert list(report['parts']) == ['train', 'val']
    form = {'roboflow': 'coco'}.get(layout, layout)
    assert lines[0].startswith(f'{root} is read as {form}, for ')
    assert report['parts']['val']['format'] == form


def test_a_clean_copy_of_another_layout_is_a_coco_json(run, refuse, world, tmp_path):
    root = world('yolo')
    with (root / 'train/labels/b.txt').open('a') as file:
        file.write('9 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.2 0.2\n')
    out = tmp_path / 'clean.json'
    assert '.json' in refuse('check-data', root, '--fix', tmp_path / 'clean.txt')
    ran = run('check-data', root, '--fix', out)
    assert ran.code == 0 and 'train/labels/b.txt:2: class 9' in ran.out, ran
    assert f'its images: --images {root}' in ran.out
    content = json.loads(out.with_name('clean_train.json').read_text())
    assert len(content['annotations']) == 5
    assert run('check-data', out.with_name('clean_train.json'), '--images', root).code == 0


def test_a_model_is_tested_on_a_folder(run, world, files, tmp_path):
    """Of several parts the one for tests, else for validation."""
    config = Path(files.config).with_name('tested.py')
    config.write_text(Path(files.config).read_text() + '''
test_dataloader = dict(batch_size=1, num_workers=0, dataset=dict(
    type='CocoDetection', ann_file='none.json', test_mode=True, pipeline=[
        dict(type='LoadImageFromFile', imdecode_backend='pillow'),
        dict(type='glipkit.ShortSideResize', scale=(96, 64)),
        dict(type='mmdet.LoadAnnotations', with_bbox=True), dict(type='glipkit.PackGrounding')]),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_evaluator = dict(type='GroundingCocoMetric', ann_file='none.json')
test_cfg = dict(type='TestLoop')
''')
    numbers = {}
    for layout in ('coco', 'voc'):
        ran = run('test', config, files.checkpoint, '--data', world(layout), '--out',
                  tmp_path / f'{layout}.json', '--work-dir', tmp_path / 'w')
        assert ran.code == 0, ran
        content = json.loads((tmp_path / f'{layout}.json').read_text())
        assert content['dataset']['images'] == 2
        numbers[layout] = content['metrics']
    assert numbers['coco'] == numbers['voc'] and 'coco/AP' in numbers['coco']


def test_what_is_saved_is_read_again(run, images, files, tmp_path):
    """Every format, from a folder with folders; the classes come from a file."""
    (images / 'sub').mkdir()
    (images / 'b.png').rename(images / 'sub' / 'a.png')
    names = tmp_path / 'names.txt'
    names.write_text('red dog\nblue cat\n')
    out = tmp_path / 'found'
    save = [word for form in ('coco', 'yolo', 'voc', 'labelme', 'csv', 'jsonl')
            for word in ('--save', form)]
    ran = run('predict', images, '--classes', names, '--config', files.config, '--checkpoint',
              files.checkpoint, '--threshold', 0, '--out', out, *save)
    assert ran.code == 0, ran
    total = int(ran.out.splitlines()[-2].split()[0])
    assert total and not (out / 'predictions.json').exists()
    (out / 'images').symlink_to(images)  # where a YOLO folder has them
    for arguments in ([out / 'coco.json', '--images', images], [out / 'data.yaml'],
                      [out / 'labelme'], [out / 'predictions.csv']):
        ran = run('check-data', *arguments)
        assert f'of {total}' in ran.out, ran
        assert 'missing' not in ran.out and 'do not exist' not in ran.out
