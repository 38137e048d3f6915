"""Rates, best weights and the end of a transfer run, by the official rule."""
from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from glipkit.engine.hooks.plateau import BEST, PlateauHook
from glipkit.errors import UserError


class Model(nn.Module):
    """Enough of a detector for the strategy 'head'."""

    probe_groups = ('alignment', 'boxes')

    def __init__(self) -> None:
        super().__init__()
        self.probe, self.rest = nn.Linear(1, 1, bias=False), nn.Linear(1, 1)
        self.rest.requires_grad_(False)
        nn.init.zeros_(self.probe.weight)

    def layer_groups(self) -> dict:
        return dict(alignment=[self.probe], boxes=[])


def make(tmp_path, **settings):
    """A hook before its training, and a runner that only remembers what was saved."""
    model = Model()
    optimizer = torch.optim.SGD([dict(params=model.probe.parameters(), lr=1e-3)])
    loop = SimpleNamespace(stop_training=False, val_interval=10)
    runner = SimpleNamespace(model=model, iter=0, train_loop=loop, work_dir=str(tmp_path),
                             optim_wrapper=SimpleNamespace(optimizer=optimizer), saved=[])
    runner.save_checkpoint = lambda *args, meta, **kwargs: runner.saved.append(meta['iter'])
    hook = PlateauHook(dict(name='head'), **settings)
    hook.before_train(runner)
    return hook, runner


def judge(hook, runner, scores):
    """Rates after each of the scores."""
    rates = []
    for score in scores:
        runner.iter += 10
        hook.after_val_epoch(runner, {'coco/AP': score})
        rates.append(runner.optim_wrapper.optimizer.param_groups[0]['lr'])
    return rates


def test_the_rate_falls_after_more_than_patience_evaluations_without_gain(tmp_path):
    """Patience 1: the second evaluation without gain drops the rate; 0 does not count at all."""
    hook, runner = make(tmp_path, step_patience=1)
    assert judge(hook, runner, [0.5, 0.5, 0., 0.4, 0.6, 0.3, 0.3]) == pytest.approx(
        [1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-4, 1e-5])


def test_the_rate_has_a_floor(tmp_path):
    hook, runner = make(tmp_path, step_patience=0, stop_patience=99)
    assert judge(hook, runner, [0.5] + [0.1] * 6)[-1] == pytest.approx(1e-6)


def test_ties_are_the_new_best_and_worse_scores_end_the_run(tmp_path):
    hook, runner = make(tmp_path, stop_patience=2)
    weights = []
    for score in (0.5, 0.4, 0.5, 0.4):
        with torch.no_grad():
            runner.model.probe.weight += 1
        judge(hook, runner, [score])
        weights.append(load_file(tmp_path / BEST)['probe.weight'].item())
        assert not runner.train_loop.stop_training
    assert weights[1] == weights[0] and weights[2] == weights[0] + 2 == weights[3]
    judge(hook, runner, [0.49])
    assert runner.train_loop.stop_training
    assert runner.saved == [10, 20, 30, 40, 50]
    assert [entry[:2] for entry in hook.history][-1] == [50, 0.49]


def test_a_checkpoint_holds_what_trains_and_the_memory(tmp_path):
    hook, runner = make(tmp_path, step_patience=0, stop_patience=3)
    judge(hook, runner, [0.5, 0.1])
    checkpoint = dict(state_dict=dict(runner.model.state_dict()))
    hook.before_save_checkpoint(runner, checkpoint)
    assert set(checkpoint['state_dict']) == {'probe.weight'}

    other, again = make(tmp_path, step_patience=0, stop_patience=3)
    other.after_load_checkpoint(again, checkpoint)
    assert set(checkpoint['state_dict']) == set(again.model.state_dict())
    again.optim_wrapper.optimizer.load_state_dict(runner.optim_wrapper.optimizer.state_dict())
    other.before_train(again)
    again.iter = runner.iter
    assert judge(other, again, [0.2, 0.3]) == judge(hook, runner, [0.2, 0.3])
    assert other.history == hook.history
    assert again.train_loop.stop_training and runner.train_loop.stop_training
    # A run that had ended does not begin again.
    hook.before_save_checkpoint(runner, checkpoint)
    third, fresh = make(tmp_path, stop_patience=3)
    third.after_load_checkpoint(fresh, checkpoint)
    third.before_train(fresh)
    assert fresh.train_loop.stop_training


@pytest.mark.parametrize('memory', [
    None, [], {'best': 'a', 'failures': 0, 'history': [], 'schedule': {}},
    {'best': 0., 'failures': 0, 'history': []},
])
def test_a_memory_that_no_run_wrote_is_refused(tmp_path, memory):
    hook, runner = make(tmp_path)
    with pytest.raises(UserError, match='without its scores'):
        hook.after_load_checkpoint(runner, dict(state_dict={}, plateau=memory))


def test_a_memory_changes_nothing_but_numbers_of_the_schedule(tmp_path):
    hook, runner = make(tmp_path)
    schedule = {**hook.plateau.state_dict(), 'num_bad_epochs': 2, 'optimizer': 'other',
                '_reduce_lr': 'other'}
    memory = dict(best=.5, failures=0, history=[], schedule=schedule)
    hook.after_load_checkpoint(runner, dict(state_dict={}, plateau=memory))
    hook.before_train(runner)
    assert hook.plateau.num_bad_epochs == 2
    assert hook.plateau.optimizer is runner.optim_wrapper.optimizer
    assert callable(hook.plateau._reduce_lr)


def test_no_checkpoint_just_before_an_evaluation(tmp_path):
    """A resume would skip the evaluation that comes right after iteration 10."""
    hook, runner = make(tmp_path, minutes=0.)
    for index in range(10):
        hook.after_train_iter(runner, index)
    assert runner.saved == list(range(1, 10))
