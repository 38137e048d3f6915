"""Tuning of models with a dense map: what a probe of the head learns, and what it leaves alone."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from glipkit.apis.build import load
from glipkit.apis.predictor import Predictor
from glipkit.checkpoints import save_checkpoint
from glipkit.checkpoints.files import read_file
from glipkit.cli.main import main
from glipkit.reports.pictures import read_scalars
from glipkit.testing import tiny_dense_clip, tiny_fvit
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
