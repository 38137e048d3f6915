"""Reading checkpoint files without ever running their content, and writing them atomically."""
from __future__ import annotations

import argparse
import json
import os
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from glipkit.checkpoints.archives import is_archive, read_archive
from glipkit.checkpoints.plain import plain
from glipkit.checkpoints.shards import SUFFIX, read_shards
from glipkit.checkpoints.wrappers import without_wrappers
from glipkit.errors import UserError
from glipkit.files import atomic, remove_unfinished, write_encoded

_SUFFIXES = ('.safetensors', '.pth', '.pt')
_CONFIG_TEXT = ('config', 'cfg')


def _statistic(owner: Any, name: str) -> Any:
    """Stands for ``getattr`` in logged values, which name their own four statistics with it."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL getattr of {name} .')
    return getattr(owner, name)


def _under_name(function: Callable[..., Any], path: str) -> Callable[..., Any]:
    def named(*args: Any) -> Any:
        return function(*args)

    named.__module__, _, name = path.rpartition('.')
    named.__name__ = named.__qualname__ = name
    return named


def _harmless() -> list[Any]:
    """What training checkpoints hold beside tensors: numpy's numbers and arrays, logged values.

    numpy renamed its inner module, and torch goes by the name that the file gives.
    """
    array, scalar = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
    functions = [_under_name(function, f'numpy.{core}.multiarray.{name}')
                 for core in ('core', '_core')
                 for name, function in (('_reconstruct', array), ('scalar', scalar))]
    dtypes = {type(np.dtype(code)) for code in '?bBhHiIlLqQefdU'}
    return [*functions, *dtypes, np.dtype, np.ndarray, HistoryBuffer, slice, argparse.Namespace,
            _under_name(_statistic, 'builtins.getattr')]


@contextmanager
def _allowing(harmless: list[Any]) -> Iterator[None]:
    # torch.serialization.safe_globals does the same, from torch 2.5 on.
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals(harmless)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


@dataclass
class RawFile:
    """What a checkpoint file holds, before anybody asks which layout it is in.

    Args:
        state: Keys and tensors, as in the file, but for what :mod:`~.wrappers` removes.
        metadata: Text beside them: safetensors' own, or ``meta`` entries of a glipkit ``.pth``.
        ignored: Top-level entries that are not weights (optimiser, logs, averaged copies).
    """

    state: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def read_file(path: str | Path) -> RawFile:
    """Reads a ``.safetensors``, a pickled checkpoint or a TorchScript archive, on the CPU.

    Args:
        path: The file, or the index (``.index.json``) of one in shards. Its first bytes decide how
            it is read, not its name.

    Raises:
        UserError: When the file is missing, cut off, no checkpoint, holds no weights, or would
            have to run code to be read.
    """
    path = Path(path)
    head = _head(path)
    if path.name.endswith(SUFFIX):
        raw = RawFile(read_shards(path, lambda shard: read_file(shard).state))
    elif path.suffix == '.safetensors' or head[8:10] == b'{"':
        raw = _read_safetensors(path)
    else:
        raw = _find_weights(_unpickle(path), path)
    return replace(raw, state=without_wrappers(raw.state))


def read_training_state(path: str | Path, map_location: Any = 'cpu') -> dict[str, Any] | None:
    """Reads all of a checkpoint that mmengine wrote: weights, optimiser, logs, random states.

    No object with a behaviour of its own is in it, see :func:`~.plain.plain`. The config that
    training leaves in ``meta`` is left out: it is text that mmengine runs.

    Args:
        path: The file.
        map_location: Device of the tensors, see :func:`torch.load`.

    Returns:
        What the file holds; None when that is no training checkpoint.

    Raises:
        UserError: As :func:`read_file`.
    """
    path = Path(path)
    if path.suffix in ('.safetensors', '.json') or _head(path)[8:10] == b'{"':
        return None
    content = _unpickle(path, map_location)
    if not isinstance(content, dict) or not {'state_dict', 'meta', 'message_hub'} <= content.keys():
        return None
    content = plain(content, path)
    if not isinstance(content['meta'], dict) or not isinstance(content['state_dict'], dict):
        raise UserError('a training checkpoint with weights, and with notes by name', str(path),
                        'pass a checkpoint that a training wrote')
    # Text of a config, which a runner would run as Python when it resumes.
    content['meta'] = {key: value for key, value in content['meta'].items()
                       if key not in _CONFIG_TEXT}
    return content


@contextmanager
def only_data() -> Iterator[None]:
    """Inside the block, what mmengine reads itself runs no code either.

    It reads the checkpoint of a backbone's ``init_cfg`` and one that it publishes, and falls back
    to running what they hold.
    """

    from mmengine.runner import checkpoint  # heavy, and not needed for reading weights

    def read(file: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
        return _unpickle(file, map_location)

    before = checkpoint._safe_torch_load
    checkpoint._safe_torch_load = read
    try:
        yield
    finally:
        checkpoint._safe_torch_load = before


def _head(path: Path) -> bytes:
    if not path.is_file():
        what = 'a folder' if path.is_dir() else 'no such file'
        raise UserError('a checkpoint file', f'{what} at {path}', 'check the path')
    with path.open('rb') as file:
        head = file.read(64)
    if head.startswith(b'version https://git-lfs'):
        raise UserError('a checkpoint file', f'the git-lfs pointer {path}',
                        'run `git lfs pull` to get the file itself')
    return head


def _read_safetensors(path: Path) -> RawFile:
    try:
        with safe_open(path, framework='pt', device='cpu') as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return RawFile(state, dict(file.metadata() or {}))
    except (SafetensorError, OSError) as error:
        raise UserError('a complete safetensors file', f'{path} ({_first_line(error)})',
                        'download or copy it again') from error


def _unpickle(path: Path, map_location: Any = 'cpu') -> Any:
    """What a pickle holds; the state dict of a TorchScript archive, on the CPU."""
    try:
        if isinstance(path, (str, os.PathLike)) and is_archive(path):
            return read_archive(path)
        with _allowing(_harmless()):
            return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        name = re.search(r'GLOBAL (\S+)|reduce for unrecognized function (\S+)', str(error))
        if name is None:
            raise _no_checkpoint(path, error) from error
        raise UserError('a checkpoint of plain tensors',
                        f'{path}, which asks to run {name[1] or name[2]}',
                        'glipkit never runs code from a checkpoint: get it as safetensors, or '
                        'save its state dict alone where it was made') from error
    except Exception as error:  # torch raises half a dozen types for damaged files
        raise _no_checkpoint(path, error) from error


def _no_checkpoint(path: Path, error: Exception) -> UserError:
    return UserError('a complete checkpoint (.pth or .safetensors)',
                     f'{path}, which is cut off or no checkpoint ({_first_line(error)})',
                     'download or copy it again')


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return re.split(r'(?<=[^.]{8})\. ', text[0])[0][:120] if text else type(error).__name__


def _is_state(value: Any) -> bool:
    return (isinstance(value, Mapping) and len(value) > 0
            and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items()))


def _find_weights(content: Any, path: Path) -> RawFile:
    if _is_state(content):
        return RawFile(dict(content))
    if isinstance(content, Mapping):
        # After training with averaged weights mmengine puts these into 'state_dict'; in official
        # files 'model' is what was published, and 'model_ema' is not (authors' advice).
        for name in ('state_dict', 'model'):
            if _is_state(content.get(name)):
                state = dict(content[name])
                meta = content.get('meta')
                metadata = {}
                if isinstance(meta, Mapping) and meta.get('format') == 'glipkit':
                    metadata = {str(k): v for k, v in meta.items() if isinstance(v, str)}
                    aside = content.get('aside')
                    state.update(aside if _is_state(aside) else {})
                ignored = sorted(str(k) for k in content if k not in (name, 'meta', 'aside'))
                return RawFile(state, metadata, tuple(ignored))
        got = f'{path} with the entries ' + ', '.join(sorted(map(str, content))[:8])
    else:
        got = f'{path} with a {type(content).__name__}'
    raise UserError("a state dict, alone or under 'state_dict' or 'model'", got,
                    'pass the file that holds the weights')


def check_target(path: str | Path, force: bool = False) -> Path:
    """The path, once it is known that a checkpoint may be written there.

    Raises:
        UserError: For an unknown suffix, a missing folder, or a file that is there already.
    """
    path = Path(path)
    if path.suffix not in _SUFFIXES:
        raise UserError(f'a file name that ends in {", ".join(_SUFFIXES)}', str(path),
                        'change the name; its ending says which kind of file is written')
    if not path.parent.is_dir():
        raise UserError('an existing folder to write to', str(path.parent), 'make it first')
    if path.is_dir():
        raise UserError('a file name', f'the folder {path}', 'add a name to it')
    if path.exists() and not force:
        raise UserError('a file that does not exist yet', f'{path}, which does',
                        'pass another name, or --force (force=True) to replace it')
    return path


def write_safetensors(state: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Writes tensors and text as safetensors, atomically. Tied tensors are written twice."""
    seen: set[int] = set()
    separate = {}
    for key, tensor in state.items():
        tensor = tensor.detach().cpu().contiguous()
        start = tensor.untyped_storage().data_ptr()
        separate[key] = tensor.clone() if start in seen else tensor
        seen.add(start)
    remove_unfinished(path.parent, path.name)
    with atomic(path) as temporary:
        try:
            save_file(separate, temporary, metadata)
            _sort_metadata(temporary)
        except SafetensorError as error:
            number = re.search(r'os error (\d+)', str(error))
            if number is None:
                raise
            code = int(number[1])
            raise OSError(code, os.strerror(code), str(temporary)) from error


def _sort_metadata(path: Path) -> None:
    """Puts the text of a safetensors file in order, so that equal content gives equal files.

    The library writes it in an order that is drawn anew each time.
    """
    with path.open('r+b') as file:
        size = int.from_bytes(file.read(8), 'little')
        header = json.loads(file.read(size))
        if '__metadata__' not in header:
            return
        text = {'__metadata__': dict(sorted(header.pop('__metadata__').items())), **header}
        content = json.dumps(text, ensure_ascii=False, separators=(',', ':')).encode()
        if len(content) <= size:
            file.seek(8)
            file.write(content.ljust(size))


def write_pickle(content: dict[str, Any], path: Path) -> None:
    """Writes a dictionary with :func:`torch.save`, atomically."""
    remove_unfinished(path.parent, path.name)
    # Through memory, as mmengine does: torch's own writer does not say what the system refused.
    write_encoded(path, lambda file: torch.save(content, file))


def dump_source(source: Mapping[str, Any]) -> str:
    """Metadata values are text: how a dictionary becomes one."""
    return json.dumps(source, sort_keys=True)
