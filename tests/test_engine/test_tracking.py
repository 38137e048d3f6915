"""Curves for TensorBoard, W&B and MLflow: written to the work directory, without a network."""
from __future__ import annotations

import os
import socket

import pytest

from glipkit.apis import training
from glipkit.cli.main import build_parser
from glipkit.engine.tracking import SETTINGS, TRACKERS, check_trackers, visualizer
from glipkit.errors import UserError

#: A loss and a score that the tiny training has.
LOSS, SCORE = 'loss_cls', 'coco/bbox_mAP'


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nobody outside is asked; and the settings of trackers end with the test."""
    connect = socket.socket.connect

    def guarded(self, address):
        assert self.family == socket.AF_UNIX or address[0] in ('127.0.0.1', '::1'), address
        return connect(self, address)

    monkeypatch.setattr(socket.socket, 'connect', guarded)
    for settings in SETTINGS.values():
        for name in settings:  # set and deleted, so that it is restored in the end
            monkeypatch.setenv(name, '')
            monkeypatch.delenv(name)


@pytest.fixture
def ran(config, tmp_path, request):
    """The work directory of a training of two iterations that a tracker saw, twice with resuming."""
    pytest.importorskip(TRACKERS[request.param])
    for iters in (2, 4):
        cfg = training.load_config(str(config), {
            'train_cfg.max_iters': iters, 'train_cfg.val_interval': 2,
            'default_hooks.checkpoint.interval': 2}, str(tmp_path / 'work'))
        training.train(cfg, resume=iters == 4, track=[request.param])
    assert list((tmp_path / 'work').glob('*/vis_data/scalars.json')), 'the own log stays'
    return tmp_path / 'work'


@pytest.mark.slow
@pytest.mark.parametrize('ran', ['tensorboard'], indirect=True)
def test_tensorboard_has_one_curve_across_a_resumption(ran):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(str(ran / 'tensorboard/train')).Reload()
    assert [event.step for event in events.Scalars(LOSS)] == [1, 2, 3, 4]
    assert [event.step for event in events.Scalars(SCORE)] == [2, 4]
    assert 'config/text_summary' in events.Tags()['tensors']


@pytest.mark.slow
@pytest.mark.parametrize('ran', ['mlflow'], indirect=True)
def test_mlflow_has_a_run_for_each_start(ran):
    import mlflow
    client = mlflow.tracking.MlflowClient(f'file://{ran}/mlruns')
    experiment = client.get_experiment_by_name('work')
    runs = client.search_runs([experiment.experiment_id], order_by=['start_time ASC'])
    assert [run.info.status for run in runs] == ['FINISHED'] * 2
    assert [run.info.run_name for run in runs] == ['train'] * 2
    steps = [[m.step for m in client.get_metric_history(run.info.run_id, LOSS)] for run in runs]
    assert steps == [[1, 2], [3, 4]] and SCORE in runs[1].data.metrics
    assert [a.path for a in client.list_artifacts(runs[0].info.run_id)] == ['config.py']
    assert os.environ['MLFLOW_DISABLE_TELEMETRY'] == 'true'


@pytest.mark.slow
@pytest.mark.parametrize('ran', ['wandb'], indirect=True)
def test_wandb_writes_runs_to_be_sent_by_hand(ran):
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
