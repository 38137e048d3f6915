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
EVALUATED, ROUNDS = .2, 3
"""Share of the time that evaluations may take where they are bounded, and how many there are: two
in the training and one behind it."""
FEWEST = 8
"""Pictures that are evaluated however slow the machine is."""


@dataclass(frozen=True)
class TimeBox:
    """The length of a training that has to end in time.

    Args:
        iterations: What it does.
        of: What its config would do.
        seconds: Time of one iteration when it was measured.
        minutes: Time that was given.
        pictures: Validation pictures of each evaluation; None for all.
    """
    iterations: int
    of: int
    seconds: float
    minutes: float
    pictures: int | None = None

    def __str__(self) -> str:
        return (f'{self.iterations} of {self.of} iterations, for {self.minutes:g} minutes at '
                f'{self.seconds:.2f} s each')


@dataclass(frozen=True)
class Speed:
    """What a machine takes for a training, in seconds.

    Args:
        iteration: One training iteration.
        evaluation: One evaluation of the pictures that were timed.
        first: The first batch of it, which reads the class names.
        picture: One picture of the later batches.
    """
    iteration: float
    evaluation: float
    first: float = 0.
    picture: float = 0.


def fit_into(cfg: Config, minutes: float, path: Path, pictures: int | None = None) -> TimeBox:
    """The length of a training: from its file, or else measured and written there.

    Args:
        cfg: Config of the training, with the config's own number of iterations; not changed.
        minutes: Time for the training, its evaluations included.
        path: File that keeps the length, so that a training which was cut off resumes with it.
        pictures: Validation pictures where evaluations are bounded too, see `bound_evaluations`:
            they take `EVALUATED` of the time at most, over fewer pictures where that is needed.
            None evaluates all of them as often as the config says, and the evaluation behind the
            training comes on top.

    Raises:
        UserError: The file holds something else.
    """
    if path.is_file():
        box = _read(path)
    else:
        full = cfg.train_cfg.max_iters
        make_folder(path.parent)
        speed = measure(cfg, path.parent / '.measurement', pictures)
        rounds, evaluation = full // cfg.train_cfg.val_interval, speed.evaluation
        if pictures is not None:
            rounds = ROUNDS
            pictures, evaluation = _fewer(speed, EVALUATED * 60 * minutes / rounds, pictures)
        fitting = int((60 * minutes - rounds * evaluation) / speed.iteration)
        box = TimeBox(max(1, min(full, fitting)), full, round(speed.iteration, 4), minutes,
                      pictures)
        write_text(path, json.dumps(asdict(box), indent=1) + '\n')
    note(f'training: {box}')
    return box


def _fewer(speed: Speed, seconds: float, pictures: int) -> tuple[int, float]:
    """Pictures of one evaluation that has to fit into some seconds, and its time."""
    fitting = int((seconds - speed.first) / speed.picture) if speed.picture else pictures
    pictures = min(pictures, max(fitting, FEWEST))
    return pictures, speed.first + pictures * speed.picture


def _read(path: Path) -> TimeBox:
    try:
        box = TimeBox(**json.loads(path.read_text()))
        if all(isinstance(count, int) and count > 0
               for count in (box.iterations, 1 if box.pictures is None else box.pictures)):
            return box
    except (ValueError, TypeError):
        pass
    raise UserError('the length of a training, as this command writes it', str(path),
                    'remove the file, or pass another folder')


def measure(cfg: Config, folder: Path, pictures: int | None = None) -> Speed:
    """Seconds of a training iteration, and of an evaluation during the training.

    Both run as the training will run them, on its data.

    Args:
        cfg: Config of the training; not changed.
        folder: For its logs; removed, also what a killed measurement has left there.
        pictures: Number of the validation pictures, to evaluate two batches of them only; None
            evaluates all.
    """
    shutil.rmtree(folder, ignore_errors=True)
    trial = copy.deepcopy(cfg)
    trial.train_cfg.max_iters = WARM_UP + TIMED
    trial.train_cfg.val_interval = WARM_UP + TIMED
    trial.default_hooks = {**trial.default_hooks, 'checkpoint': None}
    trial.log_level = 'WARNING'
    trial.work_dir = str(folder)
    batch = trial.val_dataloader.batch_size
    if pictures is not None:
        _limit(trial, 2 * batch, pictures)
    try:
        with config_errors():
            runner = build_runner(trial)
            runner.register_hook(clock := _Clock())
            runner.train()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Speed(clock.iteration, clock.evaluation, clock.first,
                 0. if pictures is None else (clock.evaluation - clock.first) / batch)


def bound_evaluations(cfg: Config, pictures: int, of: int) -> None:
    """Evaluates the first validation pictures only: twice in the training, and behind it.

    Args:
        cfg: Config with the number of iterations that it will have; changed in place.
        pictures: Number of pictures.
        of: Number of all validation pictures.
    """
    cfg.train_cfg.val_interval = cfg.train_cfg.max_iters // ROUNDS + 1
    _limit(cfg, pictures, of)


def _limit(cfg: Config, pictures: int, of: int) -> None:
    if pictures >= of:  # which mmengine would refuse
        return
    for part in ('val_dataloader', 'test_dataloader'):
        cfg[part].dataset.indices = pictures


class _Clock(Hook):
    """Times the iterations after the first few, and the evaluation."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.iteration = self.evaluation = self.first = 0.0
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

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch=None,
                       outputs=None) -> None:
        if batch_idx == 0:
            self.first = time.perf_counter() - self._start

    def after_val(self, runner: Runner) -> None:
        self.evaluation = time.perf_counter() - self._start

    def after_train(self, runner: Runner) -> None:
        self._bar.close()
