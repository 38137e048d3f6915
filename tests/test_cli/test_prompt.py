"""``glipkit prompt``: from pictures with boxes to a task file, and what is no example."""
from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.box_sets import write_world

PARTS = {'train': {'a.png': [('dog', 3, 4, 50, 60), ('cat', 10, 0, 30, 20)],
                   'b.png': [('cat', 10, 20, 33, 47)], 'c.png': []}}
SIZES = {'a.png': (96, 64), 'b.png': (64, 80), 'c.png': (64, 64)}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('GLIPKIT_HOME', str(tmp_path / 'home'))


@pytest.fixture
def model(files):
    return ['--model', files.config, '--checkpoint', files.checkpoint]


@pytest.fixture
def world(tmp_path):
    return lambda layout, parts=PARTS, name='world': write_world(
        tmp_path / name, layout, parts, SIZES, ('cat', 'dog'))


def annotated(path, boxes, size=(64, 64), name='thing'):
    """A COCO json beside one picture, with xyxy boxes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(len(path.stem)).randint(0, 255, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(path.with_suffix('.png'))
    path.write_text(json.dumps(dict(
        images=[dict(id=1, file_name=f'{path.stem}.png', width=size[0], height=size[1])],
        annotations=[dict(id=i, image_id=1, category_id=9, iscrowd=0,
                          bbox=[x, y, right - x, low - y], area=(right - x) * (low - y))
                     for i, (x, y, right, low) in enumerate(boxes, 1)],
        categories=[dict(id=9, name=name)])))
    return path


@pytest.mark.slow
def test_a_folder_becomes_a_task_that_predicts(run, world, model, files, tmp_path):
    out = tmp_path / 'x.safetensors'
    again = tmp_path / 'y.safetensors'
    words = ['prompt', '--examples', world('yolo'), *model, '--classes', 'person', '--steps', '2']
    ran = run(*words, '--out', out)
    assert ran.code == 0 and 'learned cat, dog from 3 images: 2 steps' in ran.out, ran
    assert run(*words, '--out', again).code == 0
    assert out.read_bytes() == again.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        'x.safetensors', 'y.safetensors']
    ran = run('predict', tmp_path / 'world', '--config', files.config, '--checkpoint',
              files.checkpoint, '--task', out, '--threshold', '0', '--csv', '--out',
              tmp_path / 'found')
    assert ran.code == 0, ran
    found = next((tmp_path / 'found').rglob('*.csv')).read_text()
    assert 'cat' in found or 'dog' in found or 'person' in found


def test_names_and_ids_are_those_of_the_file(run, model, tmp_path):
    from glipkit.apis.tasks import read_task
    shown, avoided = (annotated(tmp_path / name, [[4, 4, 40, 50]])
                      for name in ('aa.json', 'b.json'))
    out = tmp_path / 'x.safetensors'
    ran = run('prompt', '--examples', shown, '--images', tmp_path, '--negatives', avoided,
              '--negative-images', tmp_path, '--name', 'our part', *model, '--steps', '0',
              '--out', out)
    assert ran.code == 0, ran
    task = read_task(out)
    assert task.classes == ('our part', ) and task.category_ids == (9, )
    assert task.strategy['negatives'] == ['not thing'] and task.details['images'] == 2


@pytest.mark.parametrize(('boxes', 'more', 'said'), [
    ([[70, 4, 90, 50]], [], 'inside the image of 64 x 64'),
    ([], [], 'examples with a box'),
    ([[4, 4, 40, 50]], ['--out', 'x.pth'], 'ends in .safetensors'),
    ([[4, 4, 40, 50]], ['--seconds', '-1'], 'seconds from 0'),
    ([[4, 4, 40, 50]], ['--negatives', 'nothing'], 'nothing'),
    ([[4, 4, 40, 50]], ['--negatives', 'pictures'], 'among the examples'),
    ([[4, 4, 40, 50]], ['--negatives', 'a/aa.json', '--negative-images', 'a'], 'as both'),
])
def test_what_cannot_be_learned_is_one_line(refuse, model, tmp_path, monkeypatch, boxes, more,
                                            said):
    monkeypatch.chdir(tmp_path)
    shown = annotated(tmp_path / 'a/aa.json', boxes)
    (tmp_path / 'pictures').mkdir()
    (tmp_path / 'pictures/p.png').write_bytes(shown.with_suffix('.png').read_bytes())
    assert said in refuse('prompt', '--examples', shown, '--images', shown.parent, *model,
                          '--steps', '0', '--out', tmp_path / 'x.safetensors', *more)
    assert not list(tmp_path.glob('x.*'))


def test_several_classes_have_no_one_name(refuse, world, model, tmp_path):
    assert 'one class, for --name' in refuse(
        'prompt', '--examples', world('coco'), '--name', 'x', *model, '--out',
        tmp_path / 'x.safetensors')
