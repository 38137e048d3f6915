"""Tuning of models with a dense map: what a probe of the head learns, and what it leaves alone."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glipkit.apis.build import find_config, known_models, load, read_config
from glipkit.apis.predictor import Predictor
from glipkit.checkpoints import save_checkpoint
from glipkit.checkpoints.files import read_file
from glipkit.cli.main import main
from glipkit.reports.pictures import read_scalars
from glipkit.testing import tiny_dense_clip, tiny_fvit
from glipkit.testing.tiny_glip import picture
from glipkit.worlds import shapes

#: Model -> its config's writer, and which groups the head is.
MODELS = {'dense': (tiny_dense_clip.write_config, {'backbone'}),
          'fvit': (tiny_fvit.write_config, {'roi_head'})}


@pytest.fixture(scope='module')
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('world')
    shapes.build(folder, num_train_det=6, num_train_grd=2, num_val=2, image_size=96, workers=1)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize('name', MODELS)
def test_the_head_learns_and_its_task_is_read_again(name, world, tmp_path, capsys):
    write, parts = MODELS[name]
    config, weights = write(tmp_path), tmp_path / 'tiny.safetensors'
    torch.manual_seed(0)
    save_checkpoint(load(config, 'random'), weights)
    data, out = world / 'annotations/det_train.json', tmp_path / 'out'
    assert main(['tune', str(data), '--images', str(world / 'images/train_det'), '--val', str(data),
                 '--val-images', str(world / 'images/train_det'), '--strategy', 'head', '--model',
                 str(config), '--checkpoint', str(weights), '--seeds', '1', '--out', str(out),
                 '--set', 'schedule.max_epochs=8', 'schedule.batch_size=3', 'strategy.lr=0.003'
                 ]) == 0
    assert 'task.safetensors' in capsys.readouterr().out and (out / 'report.md').is_file()
    losses = [entry['loss'] for entry in read_scalars(out / 'seed_1').training]
    assert np.mean(losses[-2:]) < .9 * np.mean(losses[:2])
    assert {key.partition('.')[0] for key in read_file(out / 'task.safetensors').state} == parts

    predict = Predictor(config, weights, score_threshold=0., task=out / 'task.safetensors')
    names = [one['name'] for one in json.loads(data.read_text())['categories']]
    image = np.random.RandomState(0).randint(0, 255, (96, 80, 3)).astype(np.uint8)
    found, = predict(image)
    plain, = predict(image, classes=names, task='')
    assert set(found.names) <= set(names) and not np.array_equal(found.scores, plain.scores)
    boxes = [[0, 0, 40, 40]]
    tuned, before = predict.classify(image, boxes), predict.classify(image, boxes, names, task='')
    # F-ViT's map is that of its frozen tower, whatever the box head has learned.
    assert tuned.shape == (1, len(names)) and np.allclose(tuned, before) == (name == 'fvit')
    if name == 'dense':
        pixels = predict.segment(image).logits
        assert not np.allclose(pixels, predict.segment(image, names, task='').logits)


NAMES = [name for name in known_models() if name.startswith(('clipself-', 'fvit-'))]


def small(name: str, folder: Path) -> Path:
    """The config of a name with a tower, words and images of a few numbers each."""
    if name.endswith('-mini'):
        return find_config(name)
    cfg = read_config(find_config(name))
    cfg.model.backbone.update(width=32, layers=4, heads=2, embed_dim=64)
    cfg.model.text_encoder.update(width=32, heads=2, layers=1, embed_dim=64)
    for step in cfg.test_pipeline:
        if step.type.endswith('Resize'):
            side = 8 * cfg.model.backbone.get('patch', 16)
            step.update(dict(size=side) if 'size' in step else dict(scale=(side, side)))
    if name.startswith('fvit-'):
        cfg.model.taps = (0, 1, 2, 3)
        cfg.model.rpn_head.test_cfg.max_per_img = 20
        cfg.model.neck.in_channels = [32] * 4
        cfg.model.roi_head.bbox_head.embed_dim = 64
    cfg.dump(folder / f'{name}.py')
    return folder / f'{name}.py'


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[pytest.mark.slow] if name.startswith('fvit-') else [])
    for name in NAMES])
def test_what_a_name_answers(name, tmp_path, capsys):
    """Boxes, pixels and given boxes of any words, in Python and in the terminal, untrained."""
    config, photo = small(name, tmp_path), tmp_path / 'a.png'
    Image.fromarray(picture()[..., ::-1]).save(photo)
    predict = Predictor(config, 'random', score_threshold=0.)
    words = ['dog', 'grass', 'sky']
    found, = predict(photo, classes=words)
    assert set(found.names) <= set(words) and found.boxes.max(initial=0) <= 90
    scores = predict.classify(photo, [[0, 0, 40, 40], [20, 10, 90, 60]], words)
    # Of F-ViT a part may go to the background.
    assert scores.shape == (2, 3) and (0 <= scores).all() and (scores.sum(1) < 1 + 1e-5).all()
    pixels = predict.segment(photo, words)
    assert pixels.label_map.shape == (60, 90)
    assert name.endswith('-mini') or pixels.logits.shape[1:] == (6, 8)
    assert pixels.probabilities.shape == (3, 60, 90)

    ask = ['predict', str(photo), '--config', str(config), '--checkpoint', 'random', '--classes',
           ', '.join(words), '--out']
    assert main([*ask, str(tmp_path / 'boxes')]) == 0
    assert main([*ask, str(tmp_path / 'pixels'), '--segment']) == 0
    assert (tmp_path / 'pixels/a.png').is_file() and '%' in capsys.readouterr().out
