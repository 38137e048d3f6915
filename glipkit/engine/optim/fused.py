"""Optimisers whose step is a few kernels on a GPU."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

#: Optimisers of PyTorch that have such a step, and the arguments that already say how it is done.
FUSED = ('Adam', 'AdamW', 'SGD')
OWN_WAYS = ('fused', 'foreach', 'capturable', 'differentiable')


def fused_on_gpu(optim_wrapper: Any, model: nn.Module) -> Any:
    """A config of an optimiser with ``fused=True`` where all that trains is on a GPU.

    Args:
        optim_wrapper: Config with an ``optimizer``; anything else comes back as it is, and so does
            one that says how the step is done.
        model: What it trains.
    """
    optimizer = optim_wrapper.get('optimizer') if isinstance(optim_wrapper, Mapping) else None
    if not isinstance(optimizer, Mapping) or optimizer.get('type') not in FUSED \
            or any(key in optimizer for key in OWN_WAYS):
        return optim_wrapper
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained or not all(p.is_cuda and p.is_floating_point() for p in trained):
        return optim_wrapper
    return {**optim_wrapper, 'optimizer': {**optimizer, 'fused': True}}
