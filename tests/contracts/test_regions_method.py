"""Tuning of a model that reads regions: what works is honest, the rest is refused in one line."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from glipkit.apis.build import load
from glipkit.apis.predictor import Predictor
from glipkit.checkpoints import save_checkpoint
from glipkit.engine.transfer import build_strategy
from glipkit.errors import UserError
from glipkit.testing import tiny_clip_rcnn
from glipkit.tuning import TuneSettings, tune
from glipkit.tuning.settings import AnnotatedImages
from glipkit.worlds import shapes


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """A world of shapes, a config and its weights."""
    folder = tmp_path_factory.mktemp('world')
    shapes.build(folder, num_train_det=6, num_train_grd=2, num_val=4, image_size=96, workers=1)
    config = tiny_clip_rcnn.write_config(folder, 'tiny.py')
    torch.manual_seed(0)
    save_checkpoint(load(config, 'random'), folder / 'tiny.safetensors')
    return folder


def settings(folder: Path, out: Path, strategy: str, **more) -> TuneSettings:
    data = AnnotatedImages(folder / 'annotations/det_train.json', folder / 'images/train_det')
    options = {'schedule.max_epochs': 2, 'strategy.lr': 1e-3}
    return TuneSettings(data, out, strategy=strategy, model=str(folder / 'tiny.py'), val=data,
                        checkpoint=str(folder / 'tiny.safetensors'), seeds=(1, ),
                        options=more.pop('options', options), **more)


@pytest.mark.parametrize('strategy', [
    pytest.param('head', marks=pytest.mark.slow), pytest.param('full', marks=pytest.mark.slow),
    pytest.param('lora', marks=pytest.mark.slow)])
def test_tuning_and_its_task(folder, tmp_path, strategy):
    result = tune(settings(folder, tmp_path / 'out', strategy))
    assert len(result.seeds[0]['history']) == 2
    predict = Predictor(folder / 'tiny.py', folder / 'tiny.safetensors', score_threshold=0.,
                        task=result.task)
    image = np.random.RandomState(0).randint(0, 255, (96, 80, 3)).astype(np.uint8)
    found, = predict(image)
    classes = list(result.data.classes.values())
    plain, = predict(image, classes=classes, task='')
    assert set(found.names) <= set(classes) and not np.array_equal(found.scores, plain.scores)
    boxes = [[0, 0, 40, 40]]
    tuned = predict.classify(image, boxes)
    assert tuned.shape == (1, len(classes))
    assert not np.allclose(tuned, predict.classify(image, boxes, classes, task=''))


@pytest.mark.slow
def test_hand_written_prompts_are_chosen(folder, tmp_path):
    classes = list(json.loads((folder / 'annotations/det_train.json').read_text())['categories'])
    name = classes[0]['name']
    (tmp_path / 'prompts.yaml').write_text(json.dumps({name: [
        dict(prefix='a photo of a ', name=name, suffix='.')]}))
    result = tune(settings(folder, tmp_path / 'out', 'manual', options={},
                           prompts=tmp_path / 'prompts.yaml'))
    assert len(result.tried) == 2


@pytest.mark.parametrize('strategy', ['prompt', 'text'])
def test_what_would_train_words_is_refused(folder, tmp_path, strategy):
    with pytest.raises(UserError, match='a model that learns words') as caught:
        tune(settings(folder, tmp_path / 'out', strategy))
    assert '\n' not in str(caught.value) and not (tmp_path / 'out').exists()


def test_what_trains(folder):
    model = load(folder / 'tiny.py', 'random')
    groups = {one.name for one in build_strategy(dict(name='full')).trained(model)}
    assert groups == {'backbone', 'alignment', 'boxes'}
    head = {one.name for one in build_strategy(dict(name='head')).trained(model)}
    assert head == {'alignment', 'boxes'}
    assert {group for group, _, _ in model.low_rank_layers()} == {'alignment'}
