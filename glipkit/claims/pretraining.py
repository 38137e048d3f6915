"""Models that benchmarks train themselves, as ``glipkit train`` does, and keep as small files."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from glipkit.apis.build import build_model
from glipkit.apis.training import load_config, move_data, set_max_iters, train
from glipkit.apis.training import test as evaluate
from glipkit.checkpoints import load_checkpoint, save_checkpoint

#: For first estimates: seconds of one thread of a Xeon for a picture.
TRAIN_SECONDS, SCORE_SECONDS = .1, .05


def pretrain(config: str, world: Path, iters: int, weights: Path,
              options: Mapping[str, Any] | None = None,
             change: Callable[[Config], None] | None = None) -> None:
    """Trains a model; resumes at its newest checkpoint.

    The result is kept as the shipped weights are: averaged weights, half the precision.

    Args:
        config: Config of the model and its training; its ``data_root`` is replaced.
        world: Folder of the data.
        iters: Iterations to which the schedule is stretched.
        weights: File of the result; checkpoints and logs go to the folder of that name without
            its ending.
        options: Changes of the config, as `load_config` takes them.
        change: Changes the config where an option has no name for it.
    """
    work_dir = weights.with_suffix('')
    cfg = load_config(config, options, work_dir=str(work_dir))
    move_data(cfg, cfg.data_root, f'{world}/')
    set_max_iters(cfg, iters)
    if change is not None:
        change(cfg)
    cfg.log_level = 'ERROR'
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='ProgressBarHook')]
    train(cfg, resume=(work_dir / 'last_checkpoint').is_file())
    model = build_model(cfg)
    load_checkpoint(model, work_dir / f'iter_{iters}.pth')
    save_checkpoint(model, weights, force=True, dtype=torch.float16)
    for path in work_dir.glob('iter_*.pth'):  # hundreds of megabytes, needed no more
        path.unlink()


def score(config: str, world: Path, weights: Path,
          change: Callable[[Config], None] | None = None,
          test_data: str | None = None) -> dict[str, float]:
    """Metrics of weights on the whole test set of their config, or on another one.

    Args:
        config: Config of the model.
        world: Folder of the data.
        weights: Weights from `pretrain`, in whose folder the log is kept.
        change: Changes the config where an option has no name for it.
        test_data: Another data set to test on, as `load_config` takes it.
    """
    cfg = load_config(config, work_dir=str(weights.with_suffix('')), test_data=test_data)
    move_data(cfg, cfg.data_root, f'{world}/')
    if change is not None:
        change(cfg)
    cfg.log_level = 'ERROR'
    return {name: float(value) for name, value in evaluate(cfg, str(weights)).items()}
