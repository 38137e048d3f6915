"""Clipping each gradient by its own length, and steps within the backward pass."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from glipkit.engine.optim.gradient_release import GradientRelease
from glipkit.errors import UserError
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
        release_gradients: Step every parameter in the backward pass, as soon as its gradient is
            there, and drop the gradient: the same steps, and the memory of one gradient instead of
            all. Not with the norm of all gradients, nor with gradients of several iterations or
            processes, which are not known before the end of the pass.
        **kwargs: Arguments of :class:`mmengine.optim.OptimWrapper`.

    Raises:
        UserError: ``release_gradients`` with what it cannot be with.
    """

    def __init__(self, *args: Any, clip_grad: dict | None = None,
                 release_gradients: bool = False, **kwargs: Any) -> None:
        settings = None if clip_grad is None else dict(clip_grad)  # mmengine takes the type out
        each = settings is not None and settings.get('type') == TENSOR_NORM
        if each:
            settings['type'] = 'norm'
        super().__init__(*args, clip_grad=settings, **kwargs)
        if each:
            self.clip_func = clip_each_grad_norm_
        self._release: GradientRelease | None = None
        if release_gradients:
            check_release(clip_grad, self._accumulative_counts)
            self._release = GradientRelease(
                self.optimizer, self._clip_one if self.clip_grad_kwargs else None)

    @property
    def releases_gradients(self) -> bool:
        """Whether steps are in the backward pass."""
        return self._release is not None

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Back propagation; with released gradients the step as well."""
        if self._release is None:
            super().backward(loss, **kwargs)
            return
        with self._release.active():
            super().backward(loss, **kwargs)
        if self._release.norm is not None:
            self.message_hub.update_scalar(f'train/{self.grad_name}', self._release.norm)

    def step(self, **kwargs: Any) -> None:
        """Step; with released gradients all has been done in the backward pass."""
        if self._release is None:
            super().step(**kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Forward context of one training step.

        Raises:
            UserError: Gradients are released that other processes have a part in.
        """
        if self._release is not None and isinstance(model, DistributedDataParallel):
            raise _not_released('several processes', 'train in one')
        with super().optim_context(model):
            yield

    def _clip_one(self, weights: list[Tensor]) -> Tensor | None:
        return self.clip_func(weights, **self.clip_grad_kwargs)


def check_release(clip_grad: dict | None, accumulative_counts: int) -> None:
    """Refuses settings that need all gradients at once.

    Args:
        clip_grad: As for :class:`ClippingOptimWrapper`.
        accumulative_counts: Iterations of one step.

    Raises:
        UserError: With what is in the way.
    """
    if clip_grad is not None and clip_grad.get('type', 'norm') == 'norm':
        raise _not_released('clip_grad by the norm of all gradients',
                            f"clip each by its own, with type='{TENSOR_NORM}', or none")
    if accumulative_counts != 1:
        raise _not_released(f'accumulative_counts={accumulative_counts}', 'leave it at 1')


def _not_released(got: str, fix: str) -> UserError:
    return UserError('for release_gradients settings under which a gradient is complete in the '
                     'backward pass', got, f'{fix}, or leave release_gradients out')


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
