"""Clipping each gradient by its own length."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from glipkit.registry import OPTIM_WRAPPERS

TENSOR_NORM = 'tensor_norm'


@OPTIM_WRAPPERS.register_module()
class ClippingOptimWrapper(OptimWrapper):
    """mmengine's wrapper with one more way to clip: ``clip_grad=dict(type='tensor_norm',
    max_norm=5.)`` bounds the norm of the gradient of each tensor by itself, as detectron2 does.

    mmengine's own ``'norm'`` bounds the norm of all gradients together, which is a smaller step.
    The log has the largest norm of a tensor before clipping as ``grad_norm``.

    Args:
        *args: Arguments of :class:`mmengine.optim.OptimWrapper`.
        clip_grad: See above; other types are mmengine's.
        **kwargs: Arguments of :class:`mmengine.optim.OptimWrapper`.
    """

    def __init__(self, *args: Any, clip_grad: dict | None = None, **kwargs: Any) -> None:
        settings = None if clip_grad is None else dict(clip_grad)  # mmengine takes the type out
        each = settings is not None and settings.get('type') == TENSOR_NORM
        if each:
            settings['type'] = 'norm'
        super().__init__(*args, clip_grad=settings, **kwargs)
        if each:
            self.clip_func = clip_each_grad_norm_


def clip_each_grad_norm_(parameters: Iterable[Tensor], max_norm: float,
                         **kwargs: Any) -> Tensor | None:
    """Clips the gradient of every tensor to a norm of its own.

    Args:
        parameters: Tensors with gradients; others are passed over.
        max_norm: Largest norm of the gradient of one tensor.
        **kwargs: Further arguments of :func:`torch.nn.utils.clip_grad_norm_`.

    Returns:
        The largest norm before clipping; None without gradients.
    """
    norms = [clip_grad_norm_([parameter], max_norm, **kwargs) for parameter in parameters
             if parameter.grad is not None]
    return torch.stack(norms).max() if norms else None
