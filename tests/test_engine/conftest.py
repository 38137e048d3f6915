"""A tiny world, and a tiny config that trains on it in seconds."""
from __future__ import annotations

from pathlib import Path

import pytest

from glipkit.common.paths import config_root
from glipkit.testing.tiny_glip import TINY_CONFIG
from glipkit.worlds import shapes

TRAINING = '''
_base_ = [
    '{root}/_base_/datasets/shapes.py', '{root}/_base_/schedules/shapes.py',
    '{root}/_base_/runtime/default.py'
]
{model}
model['max_tokens'] = 128
custom_hooks = [dict(type='IterSeedHook'), dict(type='EMAHook', momentum=0.1)]
train_cfg = dict(max_iters=8, val_interval=8)
train_dataloader = dict(batch_size=2)
default_hooks = dict(checkpoint=dict(interval=3), logger=dict(interval=1))
'''


def write_training(folder: Path, world: Path) -> Path:
    """Writes the training of the tiny model on a shapes world; returns its config file."""
    from mmengine.config import Config

    from glipkit.apis.training import move_data
    path = folder / 'tiny_shapes.py'
    path.write_text(TRAINING.format(root=config_root(), model=TINY_CONFIG))
    cfg = Config.fromfile(path)
    move_data(cfg, 'data/shapes/', f'{world}/')
    cfg.dump(path)
    return path


@pytest.fixture(scope='session')
def world(tmp_path_factory) -> Path:
    """A shapes world of a few small pictures."""
    folder = tmp_path_factory.mktemp('world')
    shapes.build(folder, num_train_det=6, num_train_grd=6, num_val=4, image_size=96, workers=1)
    return folder


@pytest.fixture
def config(world, tmp_path) -> Path:
    """Config file of a tiny model with dropout and averaged weights, on the tiny world."""
    return write_training(tmp_path, world)
