"""As many training iterations as fit into some minutes on the machine at hand."""
from __future__ import annotations

import copy
import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from glipkit.apis.build import config_errors
from glipkit.apis.training import build_runner
from glipkit.common.reporter import Bar, bar, note
from glipkit.errors import UserError
from glipkit.files import make_folder, write_text

WARM_UP = 3
"""Iterations that nobody times: the first ones allocate."""
TIMED = 12


@dataclass(frozen=True)
class TimeBox:
    """The length of a training that has to end in time.

    Args:
        iterations: What it does.
        of: What its config would do.
        seconds: Time of one iteration when it was measured.
        minutes: Time that was given.
    """
    iterations: int
    of: int
    seconds: float
    minutes: float

    def __str__(self) -> str:
        return (f'{self.iterations} of {self.of} iterations, for {self.minutes:g} minutes at '
                f'{self.seconds:.2f} s each')


def fit_into(cfg: Config, minutes: float, path: Path) -> TimeBox:
    """The length of a training: from its file, or else measured and written there.

    Args:
        cfg: Config of the training, with the config's own number of iterations; not changed.
        minutes: Time for the training, its evaluations included.
        path: File that keeps the length, so that a training which was cut off resumes with it.

    Raises:
        UserError: The file holds something else.
    """
    if path.is_file():
        box = _read(path)
    else:
        full = cfg.train_cfg.max_iters
        make_folder(path.parent)
        seconds, evaluation = measure(cfg, path.parent / '.measurement')
        rounds = full // cfg.train_cfg.val_interval
        fitting = int((60 * minutes - rounds * evaluation) / seconds)
        box = TimeBox(max(1, min(full, fitting)), full, round(seconds, 4), minutes)
        write_text(path, json.dumps(asdict(box), indent=1) + '\n')
    note(f'training: {box}')
    return box


def _read(path: Path) -> TimeBox:
    try:
        box = TimeBox(**json.loads(path.read_text()))
        if isinstance(box.iterations, int) and box.iterations > 0:
            return box
    except (ValueError, TypeError):
        pass
    raise UserError('the length of a training, as this command writes it', str(path),
                    'remove the file, or pass another folder')


def measure(cfg: Config, folder: Path) -> tuple[float, float]:
    """Seconds of a training iteration, and of an evaluation during the training.

    Both run as the training will run them, on its data.

    Args:
        cfg: Config of the training; not changed.
        folder: For its logs; removed, also what a killed measurement has left there.
    """
    shutil.rmtree(folder, ignore_errors=True)
    trial = copy.deepcopy(cfg)
    trial.train_cfg.max_iters = WARM_UP + TIMED
    trial.train_cfg.val_interval = WARM_UP + TIMED
    trial.default_hooks = {**trial.default_hooks, 'checkpoint': None}
    trial.log_level = 'WARNING'
    trial.work_dir = str(folder)
    try:
        with config_errors():
            runner = build_runner(trial)
            runner.register_hook(clock := _Clock())
            runner.train()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return clock.iteration, clock.evaluation


class _Clock(Hook):
    """Times the iterations after the first few, and the evaluation."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.iteration = self.evaluation = 0.0
        self._bar = Bar()
        self._start = 0.0

    def before_train(self, runner: Runner) -> None:
        self._bar = bar('how fast this machine is', WARM_UP + TIMED, 'iteration')

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None,
                         outputs: dict | None = None) -> None:
        self._bar.update(1)
        if batch_idx + 1 == WARM_UP:
            self._start = time.perf_counter()
        elif batch_idx + 1 == WARM_UP + TIMED:
            self.iteration = (time.perf_counter() - self._start) / TIMED

    def before_val(self, runner: Runner) -> None:
        self._start = time.perf_counter()

    def after_val(self, runner: Runner) -> None:
        self.evaluation = time.perf_counter() - self._start

    def after_train(self, runner: Runner) -> None:
        self._bar.close()
