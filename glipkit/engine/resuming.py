"""Where a training resumes: the newest checkpoint of its folder that is whole, and is its own."""
from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from glipkit.checkpoints.loading import read_training_checkpoint
from glipkit.common.reporter import note
from glipkit.errors import UserError

#: mmengine's file with the path of the newest checkpoint.
POINTER = 'last_checkpoint'
_NUMBERED = re.compile(r'(?:iter|epoch)_(\d+)\.pth')


def newest_checkpoint(folder: str | Path) -> Path | None:
    """The checkpoint to resume from; None where there is none that can be read.

    The one that ``last_checkpoint`` names comes first, in the folder itself where that has been
    moved, then those of the highest iteration or epoch. A kill or a full disk may have left that
    file empty, and a checkpoint cut off; what is passed over for this is noted.

    Args:
        folder: Work directory of the training.
    """
    folder = Path(folder)
    for path in _candidates(folder):
        if is_whole(path):
            return path
    return None


def is_whole(path: Path) -> bool:
    """Whether a checkpoint can be read; notes why not."""
    try:
        read_training_checkpoint(path)
    except UserError as error:
        note(f'not resumed from {path}: {error.got}')
        return False
    return True


def _candidates(folder: Path) -> list[Path]:
    found = []
    try:
        named = (folder / POINTER).read_text(encoding='utf-8', errors='replace').strip('\0 \n\r\t')
    except OSError:
        named = ''
    if named and '\0' not in named:
        found = [path for path in (Path(named), folder / Path(named).name) if path.is_file()][:1]
    numbered = [(int(match[1]), path.stat().st_mtime, path) for path in folder.glob('*.pth')
                if (match := _NUMBERED.fullmatch(path.name)) and path.is_file()]
    others = [path for _, _, path in sorted(numbered, reverse=True)]
    return found + [path for path in others if path not in found]


def check_progress(checkpoint: Mapping[str, Any], path: str | Path, optimizer: Optimizer | None,
                   schedulers: Any) -> None:
    """Refuses states of an optimizer and of schedules that are not those of this training.

    torch and mmengine take nearly everything, and fail in the first step, or train on with it.

    Args:
        checkpoint: From `read_training_checkpoint`.
        path: The file, for messages.
        optimizer: The optimizer that goes on; None leaves its state unchecked.
        schedulers: The schedules that go on, a list; others are not checked.

    Raises:
        UserError: With what is wrong.
    """
    found = None
    if 'optimizer' in checkpoint and optimizer is not None:
        found = _wrong_in_optimizer(checkpoint['optimizer'], optimizer)
    if found is None and 'param_schedulers' in checkpoint and isinstance(schedulers, list):
        found = _wrong_in_schedulers(checkpoint['param_schedulers'], schedulers)
    if found is not None:
        raise UserError('a checkpoint of this training, with sound states of optimizer and '
                        'schedules', f'{path} with {found}',
                        'start from its weights with load_from=... instead of resuming, or from an '
                        'older checkpoint')


def _wrong_in_optimizer(saved: Any, optimizer: Optimizer) -> str | None:
    groups = saved.get('param_groups') if isinstance(saved, Mapping) else None
    states = saved.get('state') if isinstance(saved, Mapping) else None
    if not isinstance(states, Mapping) or not _is_list_of_mappings(groups):
        return 'a state of the optimizer that none has written'
    own = optimizer.state_dict()['param_groups']
    lengths = [_length(group.get('params')) for group in groups]
    if lengths != [len(group['params']) for group in own]:
        return 'an optimizer of other parameters'
    for group, wanted in zip(groups, own, strict=True):
        for key in wanted:
            if key in group and not _same_kind(group[key], wanted[key]):
                return f'{key}={_short(group[key])} in its optimizer'
    numbers = [number for group in groups for number in group['params']]
    weights = [weight for group in optimizer.param_groups for weight in group['params']]
    of_number = {number: weight for number, weight in zip(numbers, weights, strict=True)
                 if isinstance(number, int)}
    for number, state in states.items():
        if number not in of_number or not isinstance(state, Mapping):
            return 'states of parameters that the optimizer does not have'
        weight = of_number[number]
        shapes = _shapes_of(optimizer, weight)
        for key, value in state.items():
            if isinstance(value, Tensor) and (
                    value.dim() and tuple(value.shape) != shapes.get(key, tuple(weight.shape))
                    or not torch.isfinite(value).all()):
                return f'{key} of another shape, NaN or infinite in its optimizer'
        if state and not shapes.keys() <= state.keys():
            return f'states of another optimizer than {type(optimizer).__name__}'
    return None


def _shapes_of(optimizer: Optimizer, weight: Tensor) -> dict[str, tuple[int, ...]]:
    """Shapes of a state's tensors, by an optimiser that does not keep those of the weight."""
    known = getattr(optimizer, 'state_shapes', None)
    return {} if known is None else known(weight)


def _wrong_in_schedulers(saved: Any, schedulers: list) -> str | None:
    if not _is_list_of_mappings(saved):
        return 'states of schedules that none has written'
    for state, scheduler in zip(saved, schedulers, strict=False):
        own = scheduler.state_dict()
        for key, value in state.items():
            if key not in own or not _same_kind(value, own[key]):
                return f'{key}={_short(value)} in a schedule of {type(scheduler).__name__}'
    return None


def _is_list_of_mappings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (list, tuple)) else -1


def _same_kind(value: Any, own: Any) -> bool:
    """Whether one value may stand for another: finite numbers for numbers, text for text."""
    if own is None or value is None:
        return value is None or isinstance(value, (bool, int, float))
    if isinstance(own, (list, tuple)):
        return isinstance(value, (list, tuple)) and all(
            isinstance(item, (bool, int, float)) and math.isfinite(item) for item in value)
    if isinstance(own, (bool, int, float)):
        return isinstance(value, (bool, int, float)) and math.isfinite(value)
    return isinstance(value, type(own))


def _short(value: Any) -> str:
    return repr(value)[:40]
