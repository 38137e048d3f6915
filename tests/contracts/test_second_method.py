"""A method that no general room has heard of: prediction, checkpoints, tuning and evaluation."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glipkit.apis.build import load
from glipkit.apis.predictor import Predictor
from glipkit.apis.training import load_config
from glipkit.apis.training import test as evaluate
from glipkit.checkpoints import load_checkpoint, save_checkpoint
from glipkit.errors import UserError
from glipkit.tuning import TuneSettings, tune
from glipkit.tuning.settings import AnnotatedImages
from glipkit.worlds import shapes
from tests.toys import two_stage  # noqa: F401

CONFIG = '''
default_scope = 'glipkit'
model = dict(type='TwoStage', text_encoder=dict(type='SentenceEncoder'), data_preprocessor=dict(
    type='mmdet.DetDataPreprocessor', mean=[0., 0, 0], std=[255., 255, 255], pad_size_divisor=8))
test_pipeline = [dict(type='mmdet.LoadImageFromFile', imdecode_backend='pillow'),
                 dict(type='ShortSideResize', scale=(96, 96)), dict(type='PackGrounding')]
val = dict(type='CocoDetection', ann_file='{world}/annotations/val.json',
           data_prefix=dict(img='{world}/images/val'), pipeline=test_pipeline, test_mode=True)
test_dataloader = dict(batch_size=1, num_workers=0, dataset=val,
                       sampler=dict(type='DefaultSampler', shuffle=False))
test_evaluator = dict(type='GroundingCocoMetric', ann_file='{world}/annotations/val.json')
test_cfg = dict(type='TestLoop')
'''
NAMES = ['red circle', 'a blue star']


@pytest.fixture(scope='module')
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('world')
    shapes.build(folder, num_train_det=6, num_train_grd=2, num_val=4, image_size=96, workers=1)
    return folder


@pytest.fixture(scope='module')
def config(world, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('configs') / 'toy.py'
    path.write_text(CONFIG.replace('{world}', str(world)))
    return path


@pytest.fixture(scope='module')
def checkpoint(config, tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'toy.safetensors'
    save_checkpoint(load(config, 'random'), path)
    return path


@pytest.fixture
def image() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 255, (96, 80, 3)).astype(np.uint8)


def test_a_checkpoint_comes_back_and_another_is_refused(config, checkpoint, tmp_path):
    model = load(config, checkpoint)
    for name in ('a.safetensors', 'a.pth'):
        save_checkpoint(model, tmp_path / name)
        other = load(config, 'random')
        load_checkpoint(other, tmp_path / name)
        for key, value in model.state_dict().items():
            assert torch.equal(value, other.state_dict()[key])
    del model.refine
    with pytest.raises(UserError, match='refine.weight'):
        load_checkpoint(model, checkpoint)


def test_the_predictor_finds_and_names(config, checkpoint, image, tmp_path):
    predict = Predictor(config, checkpoint, score_threshold=0.)
    found, = predict(image, classes=NAMES)
    assert len(found) and set(found.names) <= set(NAMES)
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    Image.fromarray(image[..., ::-1]).save(tmp_path / 'a.png')
    again, = predict(tmp_path / 'a.png', classes=NAMES)
    assert np.array_equal(again.boxes, found.boxes)


def test_the_mmdet_way_of_testing(config, checkpoint, tmp_path):
    metrics = evaluate(load_config(str(config), work_dir=str(tmp_path)), str(checkpoint))
    assert 0 <= metrics['coco/AP'] <= 1


@pytest.mark.parametrize('strategy', ['head', 'prompt', 'text', 'full'])
def test_tuning_and_its_task(config, checkpoint, world, image, tmp_path, strategy):
    data = AnnotatedImages(world / 'annotations/det_train.json', world / 'images/train_det')
    result = tune(TuneSettings(
        data, tmp_path / 'out', strategy=strategy, model=str(config), checkpoint=str(checkpoint),
        val=data, seeds=(1, ), options={'schedule.max_epochs': 2}))
    assert set(result.zero_shot['val']) >= {'AP', 'AP50'} and len(result.seeds[0]['history']) == 2
    predict = Predictor(config, checkpoint, score_threshold=0., task=result.task)
    found, = predict(image)
    plain, = predict(image, classes=list(result.data.classes.values()), task='')
    assert set(found.names) <= set(result.data.classes.values())
    assert not np.array_equal(found.scores, plain.scores)
