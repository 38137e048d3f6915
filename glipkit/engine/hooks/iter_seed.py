"""Randomness that depends on the iteration alone."""
from __future__ import annotations

import zlib

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from glipkit.registry import HOOKS


@HOOKS.register_module()
class IterSeedHook(Hook):
    """Reseed torch before every training iteration from (seed, rank, iteration).

    Dropout and drop-path then draw the same numbers after a resume as in a run that was never
    interrupted, without storing generator states. The randomness of the data is left to the
    sampler.
    """

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Seed all of torch's generators."""
        torch.manual_seed(zlib.crc32(f'{runner.seed},{get_rank()},{runner.iter}'.encode()))
