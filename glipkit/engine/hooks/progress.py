"""A progress bar for people who watch."""
from __future__ import annotations

import sys

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tqdm import tqdm

from glipkit.registry import HOOKS


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Training iterations as a bar on stderr, with the current loss.

    Args:
        interval: Iterations between updates.
    """

    priority = 'VERY_LOW'

    def __init__(self, interval: int = 5) -> None:
        self.interval = interval
        self.bar: tqdm | None = None

    def before_train(self, runner: Runner) -> None:
        """Open the bar where the training starts or resumes."""
        if is_main_process():
            self.bar = tqdm(total=runner.max_iters, initial=runner.iter, desc='training',
                            unit='it', file=sys.stderr)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None,
                         outputs: dict | None = None) -> None:
        """Move the bar."""
        done = batch_idx + 1
        if self.bar is None or (done % self.interval and done != runner.max_iters):
            return
        self.bar.update(done - self.bar.n)
        if outputs and 'loss' in outputs:
            self.bar.set_postfix(loss=f'{outputs["loss"].item():.3f}')

    def after_train(self, runner: Runner) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()
