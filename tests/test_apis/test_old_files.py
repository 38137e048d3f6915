"""Files that glipkit 0.1.0 wrote still load, and give what they gave; see fixtures/v0.1.0."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from glipkit.apis.build import load
from glipkit.apis.predictor import Predictor
from glipkit.apis.tasks import read_task
from glipkit.apis.training import load_config, move_data, train
from glipkit.checkpoints.files import read_file
from glipkit.registry import DATASETS
from glipkit.testing.tiny_glip import picture

OLD = Path(__file__).resolve().parents[1] / 'fixtures' / 'v0.1.0'
ANSWERS = dict(np.load(OLD / 'answers.npz'))
STRATEGIES = ('prompt', 'head', 'lora', 'text', 'full', 'manual')
ASKED = ['red circle', 'cats/dogs', "l'été", 'no example', 'the "red" one']
CLASSES = ('cats/dogs', 'red circle', 'no example', "l'été", 'the "red" one')
#: Rounding of float32 on another machine: scores are about 0.1 to 0.7, boxes up to 90 pixels.
#: The least gap between two scores of an answer is 1.7e-5.
SCORES, PIXELS = 5e-6, 2e-3


def assert_answer(name: str, found: list) -> None:
    """The detections are those that version 0.1.0 gave."""
    one, = found
    assert list(one.names) == ANSWERS[f'{name}/names'].tolist()
    np.testing.assert_array_equal(one.labels, ANSWERS[f'{name}/labels'])
    np.testing.assert_allclose(one.scores, ANSWERS[f'{name}/scores'], atol=SCORES, rtol=0)
    np.testing.assert_allclose(one.boxes, ANSWERS[f'{name}/boxes'], atol=PIXELS, rtol=0)


@pytest.fixture(scope='module')
def predict() -> Predictor:
    return Predictor(OLD / 'tiny.py', OLD / 'base.safetensors', score_threshold=0.0,
                     per_object='all')


@pytest.fixture
def config():
    cfg = load_config(str(OLD / 'tiny.py'))
    move_data(cfg, 'data/tiny/', f'{OLD}/')
    return cfg


@pytest.mark.parametrize('name', ['base.safetensors', 'base.pth'])
def test_checkpoints_answer_as_they_did(name):
    predict = Predictor(OLD / 'tiny.py', OLD / name, score_threshold=0.0, per_object='all')
    assert_answer('classes', predict(picture(8), classes=ASKED))
    assert_answer('caption', predict(picture(8), caption='a red circle left of two cats and a dog'))


def test_both_checkpoints_hold_every_tensor_of_the_model(predict):
    files = [read_file(OLD / name).state for name in ('base.safetensors', 'base.pth')]
    assert files[0].keys() == files[1].keys()
    own = predict.model.state_dict()
    for key, tensor in files[0].items():
        assert torch.equal(tensor, files[1][key])
        assert torch.equal(own[key], tensor.to(own[key].dtype))
    assert all('position_index' in key for key in own.keys() - files[0].keys())


@pytest.mark.parametrize('strategy', STRATEGIES)
def test_task_files_answer_as_they_did(predict, strategy):
    task = read_task(OLD / f'{strategy}.safetensors')
    assert task.strategy['name'] == strategy
    assert task.classes == CLASSES and task.category_ids == (3, 7, 12, 90, 1000)
    assert_answer(strategy, predict(picture(8), task=OLD / f'{strategy}.safetensors'))


def test_the_tasks_are_different_models():
    scores = [ANSWERS[f'{name}/scores'] for name in ('classes', *STRATEGIES)]
    for i, one in enumerate(scores):
        assert all(np.abs(one - other).max() > 1e-4 for other in scores[:i])


def test_after_all_tasks_the_base_model_answers_as_it_did(predict):
    for strategy in STRATEGIES:
        predict(picture(8), task=OLD / f'{strategy}.safetensors')
    assert_answer('classes', predict(picture(8), classes=ASKED))


def test_the_training_pipeline_gives_the_prompts_and_losses_it_gave(config):
    model = load(OLD / 'tiny.py', OLD / 'base.safetensors')
    pipeline = config.train_dataloader.dataset.pipeline
    for dataset in config.train_dataloader.dataset.datasets:
        with DefaultScope.overwrite_default_scope('glipkit'):
            built = DATASETS.build(dict(dataset, pipeline=pipeline))
            np.random.seed(5)
            sample = built[1]
        text = sample['data_samples'].text
        expected = ANSWERS[f'{dataset.type}/text'].tolist()
        assert (text if isinstance(text, str) else list(text)) == expected
        data = model.data_preprocessor(
            {'inputs': [sample['inputs']], 'data_samples': [sample['data_samples']]}, True)
        with torch.no_grad():
            losses = model.loss(data['inputs'], data['data_samples'])
        assert losses.keys() == {'loss_cls', 'loss_bbox', 'loss_centerness'}
        for name, value in losses.items():
            np.testing.assert_allclose(value.numpy(), ANSWERS[f'{dataset.type}/{name}'],
                                       rtol=2e-5, err_msg=name)


def test_the_config_trains_from_the_old_checkpoint(config, tmp_path):
    config.work_dir = str(tmp_path)
    config.load_from = str(OLD / 'base.pth')
    model = train(config)
    assert Path((tmp_path / 'last_checkpoint').read_text()).is_file()
    moved = [not torch.equal(tensor, model.state_dict()[key])
             for key, tensor in read_file(OLD / 'base.pth').state.items()
             if tensor.is_floating_point()]
    assert sum(moved) > len(moved) / 2
