"""Curves for TensorBoard, W&B and MLflow: written to the work directory, without a network."""
from __future__ import annotations

import os
import socket
from importlib.util import find_spec
from pathlib import Path

import pytest

from glipkit.apis import training
from glipkit.cli.main import build_parser
from glipkit.engine.tracking import SETTINGS, TRACKERS, check_trackers, visualizer
from glipkit.errors import UserError
from tests.test_engine.conftest import write_training

#: A loss and a score that the tiny training has.
LOSS, SCORE = 'loss_cls', 'coco/AP'


@pytest.fixture(scope='module', autouse=True)
def no_network():
    """Nobody outside is asked; and the settings of trackers end with the tests."""
    connect = socket.socket.connect

    def guarded(self, address):
        assert self.family == socket.AF_UNIX or address[0] in ('127.0.0.1', '::1'), address
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, 'connect', guarded)
        for settings in SETTINGS.values():
            for name in settings:  # set and deleted, so that it is restored in the end
                patch.setenv(name, '')
                patch.delenv(name)
        yield


@pytest.fixture(scope='module')
def ran(world, tmp_path_factory) -> Path:
    """The work directory of a training of two iterations and, resumed, of a third, which all
    trackers that are installed have seen."""
    folder = tmp_path_factory.mktemp('tracked')
    config = write_training(folder, world)
    for iters in (2, 3):
        cfg = training.load_config(str(config), {
            'train_cfg.max_iters': iters, 'train_cfg.val_interval': 3, 'train_cfg.val_begin': 3,
            'val_dataloader.dataset.indices': 1, 'train_dataloader.batch_size': 1,
            'default_hooks.checkpoint.interval': 2}, str(folder / 'work'))
        training.train(cfg, resume=iters == 3,
                       track=[name for name in TRACKERS if find_spec(TRACKERS[name])])
    assert list((folder / 'work').glob('*/vis_data/scalars.json')), 'the own log stays'
    return folder / 'work'


@pytest.mark.slow
def test_tensorboard_has_one_curve_across_a_resumption(ran):
    module = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    events = module.EventAccumulator(str(ran / 'tensorboard/train')).Reload()
    assert [event.step for event in events.Scalars(LOSS)] == [1, 2, 3]
    assert [event.step for event in events.Scalars(SCORE)] == [3]
    assert 'config/text_summary' in events.Tags()['tensors']


@pytest.mark.slow
def test_mlflow_has_a_run_for_each_start(ran):
    mlflow = pytest.importorskip('mlflow')
    client = mlflow.tracking.MlflowClient(f'file://{ran}/mlruns')
    experiment = client.get_experiment_by_name('work')
    runs = client.search_runs([experiment.experiment_id], order_by=['start_time ASC'])
    assert [run.info.status for run in runs] == ['FINISHED'] * 2
    assert [run.info.run_name for run in runs] == ['train'] * 2
    steps = [[m.step for m in client.get_metric_history(run.info.run_id, LOSS)] for run in runs]
    assert steps == [[1, 2], [3]] and SCORE in runs[1].data.metrics
    assert 'config.py' in [a.path for a in client.list_artifacts(runs[0].info.run_id)]
    assert os.environ['MLFLOW_DISABLE_TELEMETRY'] == 'true'


@pytest.mark.slow
def test_wandb_writes_runs_to_be_sent_by_hand(ran):
    pytest.importorskip('wandb')
    runs = sorted((ran / 'wandb').glob('offline-run-*'))
    assert len(runs) == 2 and all(list(run.glob('run-*.wandb')) for run in runs)
    assert LOSS.encode() in next(runs[0].glob('run-*.wandb')).read_bytes()
    assert os.environ['WANDB_MODE'] == 'offline'


def test_what_there_is_stays(tmp_path):
    found = visualizer(['tensorboard'], tmp_path, 'a', dict(
        type='mmdet.DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend', a=1)]))
    assert found['type'] == 'mmdet.DetLocalVisualizer'
    assert [one['type'] for one in found['vis_backends']] == ['LocalVisBackend',
                                                             'TensorboardVisBackend']


def test_trackers_that_are_not_there(monkeypatch):
    with pytest.raises(UserError, match='expected a tracker .tensorboard, wandb, mlflow.'):
        check_trackers(['comet'])
    monkeypatch.setattr('glipkit.engine.tracking.find_spec', lambda name: None)
    with pytest.raises(UserError, match=r"the package wandb for --track wandb; got none installed"):
        check_trackers(['wandb'])


@pytest.mark.parametrize('words', [['train', 'a'], ['tune', 'a', '--images', 'b', '--out', 'c']])
def test_commands_offer_all_trackers(words):
    lines = [word for name in TRACKERS for word in ('--track', name)]
    assert build_parser(words[0]).parse_args([*words, *lines]).track == list(TRACKERS)
