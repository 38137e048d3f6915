"""Steps within the backward pass: no gradient is there longer than it is needed.

As in Lv et al., "Full Parameter Fine-tuning for Large Language Models with Limited Resources"
(ACL 2024), section 3.1, for any optimiser of torch.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class GradientRelease:
    """Steps every parameter as soon as its gradient is complete, and drops the gradient.

    It steps only inside of :meth:`active`; gradients of other backward passes stay.

    Args:
        optimizer: Its state and its rates are used, one parameter at a time.
        clip: Clips the gradients of a list of parameters and returns their norm, or None.
    """

    def __init__(self, optimizer: Optimizer,
                 clip: Callable[[Sequence[Tensor]], Any] | None = None) -> None:
        self._optimizer, self._clip = optimizer, clip
        self._active = False
        self._norms: list[Tensor] = []
        self._groups: dict[Tensor, dict[str, Any]] = {}
        for group in optimizer.param_groups:
            for weight in group['params']:
                if weight.requires_grad:
                    weight.register_post_accumulate_grad_hook(self._step)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Backward passes inside of it change the weights."""
        groups = self._optimizer.param_groups
        weights = [group['params'] for group in groups]
        self._groups = {weight: group for group in groups for weight in group['params']}
        self._norms, self._active = [], True
        for group in groups:
            group['params'] = []
        try:
            yield
        finally:
            self._active = False
            for group, own in zip(groups, weights, strict=True):
                group['params'] = own

    @property
    def norm(self) -> float | None:
        """The largest norm of a gradient of the last backward pass; None if none was clipped."""
        return float(torch.stack(self._norms).max()) if self._norms else None

    def _step(self, weight: Tensor) -> None:
        group = self._groups.get(weight) if self._active else None
        if group is None:
            return
        if self._clip is not None:
            norm = self._clip([weight])
            if norm is not None:
                self._norms.append(norm)
        group['params'] = [weight]
        try:
            self._optimizer.step()
        finally:
            group['params'] = []
        weight.grad = None
