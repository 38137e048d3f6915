"""Progress of a training for the person who waits."""
from __future__ import annotations

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from glipkit.common.reporter import Bar, bar
from glipkit.registry import HOOKS


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Training iterations as a bar of the current reporter, with the loss.

    Args:
        interval: Iterations between updates.
    """

    priority = 'VERY_LOW'

    def __init__(self, interval: int = 5) -> None:
        self.interval = interval
        self.bar: Bar | None = None

    def before_train(self, runner: Runner) -> None:
        """Opens the bar where the training starts or resumes."""
        if is_main_process():
            self.bar = bar('training', runner.max_iters, 'iteration', done=runner.iter)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None,
                         outputs: dict | None = None) -> None:
        """Moves the bar."""
        done = batch_idx + 1
        if self.bar is None or (done % self.interval and done != runner.max_iters):
            return
        if outputs and 'loss' in outputs:
            self.bar.show(loss=f'{outputs["loss"].item():.3f}')
        self.bar.update(done - self.bar.done)

    def after_train(self, runner: Runner) -> None:
        """Closes the bar."""
        if self.bar is not None:
            self.bar.close()
