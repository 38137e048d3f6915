"""When a transfer run lowers its rate, what it keeps, and when it ends."""
from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from glipkit.checkpoints.files import write_safetensors
from glipkit.engine.transfer.strategies import build_strategy
from glipkit.errors import UserError
from glipkit.registry import HOOKS

#: Files in the run's folder: the best weights so far, and the checkpoint to resume from.
BEST, LAST = 'best.safetensors', 'last.pth'


@HOOKS.register_module()
class PlateauHook(Hook):
    """Plateau schedule, patience and best weights of the official fine-tuning.

    After every evaluation: the rate of every group falls by ``factor`` when the score has not
    risen for more than ``step_patience`` evaluations (a score of 0 does not count); a score of at
    least the best so far is the new best, and its weights are kept; the run ends after
    ``stop_patience`` evaluations in a row below the best.

    The run's folder holds ``best.safetensors`` (the strategy's state) and ``last.pth``, from which
    mmengine resumes; that one holds the weights that train, not the frozen ones, and is written
    after every evaluation and every few minutes.

    Args:
        strategy: Settings of the strategy, as ``build_strategy`` takes them.
        metric: Score to follow; more is better.
        step_patience: Number of evaluations without gain before the rate falls.
        stop_patience: Number of evaluations below the best before the run ends.
        factor: Factor on the learning rate.
        min_lr: Lowest learning rate.
        minutes: Minutes between two checkpoints within an epoch.
    """

    priority = 'VERY_LOW'

    def __init__(self, strategy: dict, metric: str = 'coco/AP', step_patience: int = 3,
                 stop_patience: int = 8, factor: float = 0.1, min_lr: float = 1e-6,
                 minutes: float = 5.) -> None:
        self.strategy = build_strategy(strategy)
        self.metric, self.stop_patience, self.minutes = metric, stop_patience, minutes
        self._schedule = dict(mode='max', factor=factor, patience=step_patience, min_lr=min_lr)
        self.best, self.failures = 0., 0
        self.history: list[list[float]] = []
        self._plateau: dict[str, Any] | None = None
        self._saved = time.monotonic()

    def before_train(self, runner: Runner) -> None:
        """Ends a run at once that had already ended."""
        self.plateau = ReduceLROnPlateau(runner.optim_wrapper.optimizer, **self._schedule)
        if self._plateau is not None:
            known = self.plateau.state_dict()
            self.plateau.load_state_dict(
                {key: value for key, value in self._plateau.items() if key in known})
        runner.train_loop.stop_training = self.failures >= self.stop_patience

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Writes a checkpoint every few minutes, not before an evaluation: a resume skips it."""
        before_evaluation = (batch_idx + 1) % runner.train_loop.val_interval == 0
        if time.monotonic() - self._saved > 60 * self.minutes and not before_evaluation:
            self._save(runner, batch_idx + 1)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Compares an evaluation with the best one so far."""
        score = metrics[self.metric]
        rate = runner.optim_wrapper.optimizer.param_groups[0]['lr']
        self.history.append([runner.iter, score, rate])
        if score > 0:
            self.plateau.step(score)
        if score < self.best:
            self.failures += 1
        else:
            self.best, self.failures = score, 0
            if is_main_process():
                write_safetensors(self.strategy.state(_plain(runner.model)),
                                  Path(runner.work_dir) / BEST, {})
        runner.train_loop.stop_training = self.failures >= self.stop_patience
        self._save(runner, runner.iter)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Leaves out weights that do not train, and adds the state of this hook."""
        trained = {name for name, p in _plain(runner.model).named_parameters() if p.requires_grad}
        checkpoint['state_dict'] = {
            name: value for name, value in checkpoint['state_dict'].items() if name in trained}
        checkpoint['plateau'] = dict(best=self.best, failures=self.failures, history=self.history,
                                     schedule=self.plateau.state_dict())

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Adds the weights that were left out, from the model."""
        checkpoint['state_dict'] = {**_plain(runner.model).state_dict(),
                                    **checkpoint['state_dict']}
        memory = checkpoint.get('plateau')
        kinds = dict(best=(int, float), failures=int, history=list, schedule=dict)
        if not isinstance(memory, dict) or not all(
                isinstance(memory.get(key), kind) for key, kind in kinds.items()):
            raise UserError(f'a {LAST} of this kind of run', 'a checkpoint without its scores',
                            'remove it to train anew')
        self.best, self.failures = memory['best'], memory['failures']
        self.history, self._plateau = memory['history'], memory['schedule']

    def _save(self, runner: Runner, iteration: int) -> None:
        runner.save_checkpoint(runner.work_dir, LAST, by_epoch=False,
                               save_param_scheduler=False, meta=dict(iter=iteration, epoch=0))
        self._saved = time.monotonic()


def _plain(model: nn.Module) -> nn.Module:
    return getattr(model, 'module', model)
