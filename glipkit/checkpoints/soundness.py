"""Whether tensors can be the weights of a model: finite values of a fitting type."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from glipkit.checkpoints.differences import fold
from glipkit.errors import UserError

_STATISTICS = ('.running_mean', '.running_var')


def check_sound(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor],
                path: str | Path,
                fix: str = 'take an earlier checkpoint of that training, or another file') -> None:
    """Refuses tensors with values that no weights have.

    Floating-point tensors may be of any precision, as long as the model's holds their values. A
    buffer that is not finite in the model itself, such as a mask, may be so in the file.

    Args:
        state: Tensors for a model, by its keys.
        wanted: The model's own, parameters as such.
        path: The file, for messages.
        fix: What to do, for messages.

    Raises:
        UserError: With the names of the tensors.
    """
    unsound: dict[str, list[str]] = {}
    for key, tensor in state.items():
        if key in wanted:
            problem = _problem(tensor, wanted[key])
            if problem:
                unsound.setdefault(problem, []).append(key)
    if unsound:
        found = '; '.join(f'{problem} in {fold(keys)}' for problem, keys in unsound.items())
        raise UserError('weights of finite numbers, of the types that the model has',
                        f'{path} with {found}', fix)


def check_statistics(state: Mapping[str, Tensor], own: Mapping[str, Tensor],
                     path: str | Path) -> None:
    """Refuses to leave a batch norm with the statistics of a new model.

    A mean of 0 and a variance of 1 ruin every result and break nothing; what counts is whether the
    file holds them, as those of a trained norm may be such too.

    Args:
        state: Tensors for a model, by its keys.
        own: The model's own.
        path: The file, for messages.

    Raises:
        UserError: With the name of the first norm.
    """
    missing = [key for key in own if key.endswith(_STATISTICS) and key not in state]
    if missing:
        norms = list(dict.fromkeys(key.rpartition('.')[0] for key in missing))
        more = f' and {len(norms) - 1} more norms' if norms[1:] else ''
        raise UserError('running mean and variance of every batch norm',
                        f'{path} without those of {norms[0]}{more}',
                        'take a file that holds them: the values of a new model ruin the result')


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor with NaN or infinite values; None where all are finite."""
    values = list(tensors.values())
    if not values:
        return None
    # Norms of finite tensors are finite nearly always, and all of them take one wait for a GPU.
    norms = [norm.to(values[0].device, torch.float32) for norm in torch._foreach_norm(values)]
    if torch.isfinite(torch.stack(norms)).all():
        return None
    return next((name for name, tensor in tensors.items() if not _finite(tensor)), None)


def _problem(tensor: Tensor, own: Tensor) -> str | None:
    if tensor.layout != own.layout or tensor.is_quantized or tensor.is_meta:
        return f'{tensor.layout} values' if tensor.layout != own.layout else 'no plain values'
    if _kind(tensor) != _kind(own):
        return f'{tensor.dtype} instead of {own.dtype}'.replace('torch.', '')
    if not own.is_floating_point():
        return None
    values = tensor.to(own.dtype)
    if _finite(values):
        return None
    if not isinstance(own, nn.Parameter) and torch.equal(values.cpu(), own.cpu()):  # a mask
        return None
    return 'NaN' if values.isnan().any() else 'infinite values'


def _kind(tensor: Tensor) -> str:
    if tensor.dtype == torch.bool:
        return 'bool'
    if tensor.is_complex():
        return 'complex'
    return 'float' if tensor.is_floating_point() else 'integer'


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())
