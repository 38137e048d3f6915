"""``glipkit features`` on files."""
from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from glipkit.apis.build import load
from glipkit.apis.predictor import Predictor
from glipkit.checkpoints import save_checkpoint
from glipkit.testing import tiny_clip_rcnn

BOXES = {'a.png': [[0, 0, 30, 40], [10.5, 5, 90, 60]], 'b.png': []}


@pytest.fixture(scope='module')
def model(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp('model')
    config = tiny_clip_rcnn.write_config(folder)
    torch.manual_seed(0)
    save_checkpoint(load(config, 'random'), folder / 'tiny.safetensors')
    return ['--config', str(config), '--checkpoint', str(folder / 'tiny.safetensors')]


@pytest.fixture
def boxes(tmp_path):
    path = tmp_path / 'boxes.json'
    path.write_text(json.dumps(BOXES))
    return path


def test_one_file_for_each_image(run, model, images, boxes, tmp_path):
    ran = run('features', images, '--boxes', boxes, *model, '--out', tmp_path / 'out')
    assert ran.code == 0 and '2 regions of 2 images' in ran.out
    first = load_file(tmp_path / 'out' / 'a.png.safetensors')
    assert first['boxes'].tolist() == BOXES['a.png'] and first['feats'].shape == (2, 64)
    wanted = Predictor(model[1], model[3]).region_features(images / 'a.png', BOXES['a.png'])
    np.testing.assert_allclose(first['feats'], wanted, atol=1e-5)
    assert load_file(tmp_path / 'out' / 'b.png.safetensors')['feats'].shape == (0, 64)


def test_names_that_no_image_has_are_told(run, model, images, boxes, tmp_path):
    boxes.write_text(json.dumps({**BOXES, 'gone.png': [[0, 0, 5, 5]]}))
    ran = run('features', images, '--boxes', boxes, *model, '--out', tmp_path / 'out')
    assert ran.code == 0 and "1 names in" in ran.out and "such as 'gone.png'" in ran.out


def test_the_same_command_goes_on_and_another_is_refused(run, model, images, boxes, tmp_path):
    words = ['features', images, '--boxes', boxes, *model, '--out', tmp_path / 'out']
    assert run(*words).code == 0
    (tmp_path / 'out' / 'a.png.safetensors').unlink()
    ran = run(*words)
    assert ran.code == 0 and '2 regions of 1 images, 1 were there before' in ran.out
    boxes.write_text(json.dumps({'a.png': [[0, 0, 5, 5]]}))
    ran = run(*words)
    assert ran.code == 2 and 'other settings or data: boxes' in ran.err


def test_a_coco_json_and_images_that_it_does_not_name(run, model, images, tmp_path):
    path = tmp_path / 'coco.json'
    path.write_text(json.dumps(dict(
        images=[dict(id=7, file_name='photos/b.png', width=90, height=60)],
        categories=[dict(id=1, name='dog')],
        annotations=[dict(id=1, image_id=7, category_id=1, bbox=[5, 5, 20, 10], area=200)])))
    ran = run('features', images, '--boxes', path, *model)
    assert ran.code == 0 and '1 images are not named' in ran.out
    found = load_file('features/b.png.safetensors')
    assert found['boxes'].tolist() == [[5, 5, 25, 15]]


def test_without_boxes_the_models_own(run, model, images):
    ran = run('features', images / 'a.png', *model)
    assert ran.code == 0
    found = load_file('features/a.png.safetensors')
    assert len(found['boxes']) == len(found['feats']) > 5
    assert found['boxes'].max() <= 90.01


def test_an_image_that_cannot_be_read_is_left_out_and_counted(run, model, images):
    (images / 'c.png').write_text('no image')
    ran = run('features', images, *model)
    assert ran.code == 1 and '1 of 3 images could not be read' in ran.out and 'c.png' in ran.err
    ran = run('features', images, *model, '--strict', '--out', 'again')
    assert ran.code == 2 and 'c.png' in ran.err


@pytest.mark.parametrize('content, match', [
    ('{"a.png": [[0, 0, 1]]}', 'four finite numbers'), ('[1, 2]', 'maps file names'),
    ('{"other.png": [[0, 0, 5, 5]]}', 'names these images'), ('{', 'json')])
def test_files_of_boxes_that_cannot_be_used(refuse, model, images, boxes, content, match):
    boxes.write_text(content)
    assert match in refuse('features', images, '--boxes', boxes, *model)


def test_a_box_outside_its_image(refuse, model, images, boxes):
    boxes.write_text('{"a.png": [[200, 0, 300, 50]]}')
    assert 'inside the image of 90 x 60' in refuse('features', images, '--boxes', boxes, *model)


def test_a_model_that_finds_boxes_itself(refuse, files, images, boxes):
    line = refuse('features', images, '--boxes', boxes, '--config', files.config, '--checkpoint',
                  files.checkpoint)
    assert 'a model that reads regions' in line


def test_weights_are_named_where_they_are(refuse, images):
    assert 'RN50.pt' in refuse('features', images)
