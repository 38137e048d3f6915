"""Weights on the straight line between two models."""
from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from glipkit.checkpoints.differences import describe, refuse, shapes_of
from glipkit.errors import UserError


def check_alpha(alpha: float) -> float:
    """The share of the first model.

    Raises:
        UserError: It is not between 0 and 1.
    """
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 <= alpha <= 1:
        raise UserError('alpha from 0 to 1', repr(alpha), 'pass a share, such as 0.7')
    return float(alpha)


def between(state: Mapping[str, Tensor], other: Mapping[str, Tensor], alpha: float,
            names: tuple[object, object] = ('a model', 'another')) -> dict[str, Tensor]:
    """``alpha * state + (1 - alpha) * other``, tensor by tensor, in the first one's formats.

    Args:
        state: Tensors of a model.
        other: Tensors under the same keys, of the same shapes.
        alpha: From 0 to 1; both ends give the tensors of one model, and what
            both models share stays as it is, bit for bit.
        names: What both are called in messages.

    Returns:
        New tensors; those that are no floating-point numbers are the first model's.

    Raises:
        UserError: ``alpha`` outside of 0 to 1, or keys or shapes that differ.
    """
    check_alpha(alpha)
    problems = describe(shapes_of(state), shapes_of(other))
    if problems:
        raise refuse(f'the tensors of {names[0]}', names[1], problems,
                     'interpolate two models of one architecture')
    found = {}
    for key, tensor in state.items():
        if not tensor.is_floating_point():
            found[key] = tensor.clone()
            continue
        wide = torch.promote_types(tensor.dtype, torch.float32)
        # lerp leaves alone what both have in common; the sum of two products rounds it.
        mixed = torch.lerp(other[key].to(tensor.device, wide), tensor.to(wide), alpha)
        found[key] = mixed.to(tensor.dtype)
    return found
