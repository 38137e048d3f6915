"""What of a training checkpoint may reach a runner: tensors, numbers, text, and lists of these."""
from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

from glipkit.errors import UserError

_SIMPLE = (str, bytes, bool, int, float, complex, type(None), np.generic, np.dtype, torch.dtype,
           torch.device, torch.Size, slice)
_SEQUENCES = (list, tuple, set, frozenset)


def plain(value: Any, path: str | Path, where: str = '') -> Any:
    """A copy that shares tensors and arrays and holds no object with a behaviour of its own.

    Args:
        value: What a file holds.
        path: The file, for messages.
        where: The entry of the file, for messages.

    Raises:
        UserError: For a function, a class, or an object of another class.
    """

    def inside(item: Any, name: Any) -> Any:
        return plain(item, path, f'{where}.{name}' if where else str(name))

    if isinstance(value, _SIMPLE):
        return value
    if type(value) in (Tensor, nn.Parameter):
        return value.detach()
    if isinstance(value, np.ndarray):
        return np.array(value) if value.dtype != object else inside(value.tolist(), '')
    if isinstance(value, dict):
        copy = OrderedDict() if isinstance(value, OrderedDict) else {}
        copy.update({inside(key, 'key'): inside(item, key) for key, item in value.items()})
        # Versions of modules, which load_state_dict reads.
        if '_metadata' in getattr(value, '__dict__', {}):
            copy._metadata = inside(value._metadata, '_metadata')
        return copy
    if isinstance(value, _SEQUENCES):
        items = [inside(item, place) for place, item in enumerate(value)]
        return next(kind for kind in _SEQUENCES if isinstance(value, kind))(items)
    if type(value) is HistoryBuffer:
        log, count = (np.array(part, np.float64) for part in value.data)
        return HistoryBuffer(log, count, int(value.max_length))
    if type(value) is argparse.Namespace:
        return argparse.Namespace(**inside(vars(value), 'namespace'))
    raise UserError('a checkpoint of tensors, numbers and text',
                    f'{path} with a {type(value).__name__} under {where}',
                    'glipkit never runs code from a checkpoint: save its state dict alone where it '
                    'was made')

