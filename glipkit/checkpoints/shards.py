"""Checkpoints in several files, with an index that says which tensor is where."""
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from glipkit.errors import UserError

SUFFIX = '.index.json'


def read_shards(path: Path, read: Callable[[Path], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of all files that an index names; they lie beside it.

    Args:
        path: ``model.safetensors.index.json``, ``pytorch_model.bin.index.json``...
        read: Reads one of the files.

    Raises:
        UserError: No index, a file that is missing or holds other tensors.
    """
    try:
        weight_map = json.loads(path.read_text(encoding='utf-8'))['weight_map']
        names = sorted(set(weight_map.values()))
        if not names or any(Path(name).name != name for name in names):
            raise ValueError('it names no files beside it')
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise UserError("an index of shards, with a 'weight_map' from tensors to files beside it",
                        f'{path} ({type(error).__name__}: {error})',
                        'pass the index that came with the files') from error
    state: dict[str, Tensor] = {}
    for name in names:
        if not (path.parent / name).is_file():
            raise UserError(f'all {len(names)} files of the index {path.name}',
                            f'no {name} in {path.parent}', 'download it too')
        state.update(read(path.parent / name))
    if state.keys() != weight_map.keys():
        other = sorted(state.keys() ^ weight_map.keys())
        raise UserError(f'the tensors of the index {path}', f'files that differ in {other[0]}',
                        'take index and files of one checkpoint')
    return state
