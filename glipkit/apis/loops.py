"""What a config says of training, validation and test, and what of it a run takes."""
from __future__ import annotations

import copy

from mmengine.config import Config

from glipkit.errors import UserError

#: Keys of each loop of mmengine's runner, which refuses a part of them.
TRAINING = ('train_dataloader', 'train_cfg', 'optim_wrapper')
VALIDATION = ('val_dataloader', 'val_cfg', 'val_evaluator')
TEST = ('test_dataloader', 'test_cfg', 'test_evaluator')


def check_for_training(cfg: Config) -> None:
    """Completes a config that is going to train.

    Args:
        cfg: Config, changed in place: data that has an evaluator gets mmengine's own loop.

    Raises:
        UserError: Without training settings, or with a part of what validates or tests.
    """
    for key in TRAINING:
        if cfg.get(key) is None:
            raise UserError('a config with training settings', f'no {key}',
                            'add it, or train another config')
    _complete(cfg, VALIDATION)
    _complete(cfg, TEST)


def for_test(cfg: Config) -> Config:
    """A copy of a config that can test, whatever it says of training: data to train on without a
    schedule, as a config may have it from its base, stays aside.

    Raises:
        UserError: Without a test set, or without its evaluator.
    """
    if cfg.get('test_dataloader') is None:
        raise UserError('a config with a test set', 'no test_dataloader',
                        'add it, or test another config')
    cfg = copy.copy(cfg)
    _complete(cfg, TEST)
    for keys in (TRAINING, VALIDATION):
        if any(cfg.get(key) is None for key in keys):
            for key in keys:
                cfg.pop(key, None)
    if 'optim_wrapper' not in cfg:
        cfg.pop('param_scheduler', None)
    return cfg


def _complete(cfg: Config, keys: tuple[str, str, str]) -> None:
    """Gives data and its evaluator the loop of mmengine that has nothing to set."""
    loader, loop, evaluator = keys
    there = [key for key in (loader, evaluator) if cfg.get(key) is not None]
    if len(there) == 1:
        raise UserError(f'{loader} and {evaluator} in a config, or neither', f'{there[0]} alone',
                        f'add {evaluator if there[0] == loader else loader}, or take it out')
    if there and cfg.get(loop) is None:
        cfg[loop] = {}
    elif not there:
        cfg.pop(loop, None)
