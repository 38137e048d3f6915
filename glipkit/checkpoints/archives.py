"""TorchScript archives as state dicts: their tensors are read and none of their code is run.

Such a file is a zip. ``data.pkl`` is a pickle of module objects whose attributes are tensors,
numbers and further modules; the numbers of a tensor are in an entry of its own; ``code/`` is what
:func:`torch.jit.load` would compile, and is not looked at here.
"""
from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

#: Name of a storage class -> type of its numbers.
_STORAGES = {
    f'{name}Storage': dtype for name, dtype in (
        ('Double', torch.float64), ('Float', torch.float32), ('Half', torch.float16),
        ('BFloat16', torch.bfloat16), ('Long', torch.int64), ('Int', torch.int32),
        ('Short', torch.int16), ('Char', torch.int8), ('Byte', torch.uint8), ('Bool', torch.bool))}
#: Functions in such pickles that give their first argument back.
_LISTS = ('build_intlist', 'build_doublelist', 'build_boollist', 'build_tensorlist',
          'restore_type_tag')
_MODULES = '__torch__'


class Inert:
    """Stands for a module of the archive: its attributes, and nothing that could be called."""

    attributes: Mapping[str, Any] = MappingProxyType({})  # of one that the pickle left empty

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
            raise pickle.UnpicklingError('a module whose attributes have no names')
        self.attributes = dict(state)


def is_archive(path: str | Path) -> bool:
    """Whether a file is a zip that TorchScript wrote."""
    try:
        with zipfile.ZipFile(path) as file:
            return any(name.endswith('/constants.pkl') for name in file.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def read_archive(path: str | Path) -> dict[str, Tensor]:
    """The tensors of an archive's modules, under the keys that their state dict would have.

    Raises:
        pickle.UnpicklingError: It asks for anything but modules and tensors; ``GLOBAL`` and a name
            stand in the message where that is a function.
        Exception: Of half a dozen types, where the file is damaged.
    """
    with zipfile.ZipFile(path) as file:
        root = next(name for name in file.namelist() if name.endswith('/data.pkl'))
        with file.open(root) as data:
            content = _Unpickler(data, _storages(file, root.removesuffix('data.pkl'))).load()
    if not isinstance(content, Inert):
        raise pickle.UnpicklingError(f'no module but a {type(content).__name__}')
    return dict(_tensors(content, '', ()))


def _tensors(module: Inert, prefix: str, above: tuple[int, ...]) -> Iterator[tuple[str, Tensor]]:
    if id(module) in above:
        raise pickle.UnpicklingError('a module inside itself')
    for name, value in module.attributes.items():
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(value, Inert):
            yield from _tensors(value, f'{prefix}{name}.', (*above, id(module)))


def _storages(file: zipfile.ZipFile, root: str) -> Callable[[Any], Tensor]:
    """Function from a pickle's reference to a storage to its numbers, one after another."""
    read: dict[str, Tensor] = {}

    def storage(reference: Any) -> Tensor:
        kind, dtype, name = reference[:3]
        if kind != 'storage' or not isinstance(dtype, torch.dtype) or not isinstance(name, str):
            raise pickle.UnpicklingError('a reference to something else than numbers')
        if name not in read:
            entry = file.getinfo(f'{root}data/{name}')
            if entry.compress_type != zipfile.ZIP_STORED:
                raise pickle.UnpicklingError('packed numbers, which torch never writes')
            numbers = bytearray(file.read(entry))
            read[name] = torch.frombuffer(numbers, dtype=dtype) if numbers else \
                torch.empty(0, dtype=dtype)
        return read[name]

    return storage


class _Unpickler(pickle.Unpickler):
    """Builds containers, :class:`Inert` modules and tensors; every other name is refused.

    What it hands out is made for this one file: a pickle can set attributes of functions.
    """

    def __init__(self, file: Any, storage: Callable[[Any], Tensor]) -> None:
        super().__init__(file)
        self._storage = storage
        self._module = type('Inert', (Inert, ), {})

    def persistent_load(self, reference: Any) -> Tensor:
        """The numbers of one or more tensors."""
        return self._storage(reference)

    def find_class(self, module: str, name: str) -> Any:
        """What a name of the pickle stands for."""
        if module == _MODULES or module.startswith(f'{_MODULES}.'):
            return self._module
        if module == 'torch' and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) == ('collections', 'OrderedDict'):
            return OrderedDict
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return lambda *arguments: _tensor(*arguments[:4])
        if module == 'torch.jit._pickle' and name in _LISTS:
            return lambda value, *_: value
        raise pickle.UnpicklingError(f'GLOBAL {module}.{name} is neither a module nor a tensor')


def _tensor(numbers: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
            ) -> Tensor:
    """A tensor of its own numbers; one that repeats them could be of any size."""
    tensor = torch.as_strided(numbers, size, stride, offset)
    if tensor.numel() > numbers.numel():
        raise pickle.UnpicklingError('a tensor of more numbers than it has')
    return tensor
