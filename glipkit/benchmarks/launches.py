"""A stand-in for a GPU: which operators a computation starts there, and where the host waits.

Tensors of the stand-in have shapes and types but no values, so that the code takes the branches
that it takes on a GPU, at any size and within seconds, on any machine. What needs a value, which on
a GPU makes the host wait until all its work is done, is an error here.
"""
from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest import mock

import torch
import torch.nn.functional as F
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from glipkit.models.kernels.tables import forget_tables

Result = TypeVar('Result')
GPU = 'cuda'
MEMORY = 64 << 30

#: Operators that start nothing on a GPU: they make views, or memory.
_FREE = {'alias', 'as_strided', 'detach', 'device', 'empty', 'empty_like', 'empty_strided',
         'expand', 'lift_fresh', 'new_empty', 'new_empty_strided', 'permute', 'promote_types',
         'select', 'slice', 'split', 'split_with_sizes', 'squeeze', 't', 'transpose', 'unbind',
         'unsqueeze', 'unfold', 'view', '_unsafe_view', '_reshape_alias'}

#: What code asks of torch.cuda, and a device without memory of its own answers.
_ASKED = {'_lazy_init': lambda: None, 'mem_get_info': lambda device=None: (MEMORY, MEMORY),
          'memory_reserved': lambda device=None: 0, 'memory_allocated': lambda device=None: 0}


class HostWaits(RuntimeError):
    """Something would make the host wait for the GPU."""


class StandIn:
    """A device without values.

    Attributes:
        launches: Name of an operator -> how often it was started. Each starts at least one kernel
            on a GPU; views and memory are not counted.
    """

    def __init__(self) -> None:
        self.launches: Counter[str] = Counter()
        self.paused = False
        self._values = FakeTensorMode(allow_non_fake_inputs=True)

    def move(self, module: nn.Module) -> None:
        """Puts the weights of a module on the stand-in: they lose their values."""
        for part in module.modules():
            for slots in (part._parameters, part._buffers):
                for name, value in slots.items():
                    if value is not None:
                        slots[name] = self._moved(value)

    def _moved(self, value: Tensor) -> Tensor:
        moved = self.empty(*value.shape, dtype=value.dtype)
        if isinstance(value, nn.Parameter):
            moved = nn.Parameter(moved, requires_grad=value.requires_grad)
        return moved

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """A tensor of the stand-in."""
        with self._values:
            return torch.empty(shape, dtype=dtype, device=GPU)

    @contextmanager
    def used(self, dtype: torch.dtype | None = None) -> Iterator[StandIn]:
        """Inside the block what is asked of a GPU goes to the stand-in.

        Args:
            dtype: Type of autocast, or None.

        Raises:
            HostWaits: Something in the block needs a value.
        """
        before = torch.is_autocast_enabled(GPU), torch.get_autocast_dtype(GPU)
        forget_tables()
        try:
            # torch.autocast itself asks for a real GPU.
            torch.set_autocast_enabled(GPU, dtype is not None)
            torch.set_autocast_dtype(GPU, dtype or before[1])
            with mock.patch.multiple(torch.cuda, **_ASKED), warnings.catch_warnings(), \
                    _Functions(self), _Operators(self):
                # Who asks where a tensor is, to see whether it is another one, gets zero.
                warnings.filterwarnings('ignore', 'Accessing the data pointer of FakeTensor')
                yield self
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise HostWaits(f'{error.func} needs values') from error
        finally:
            torch.clear_autocast_cache()
            torch.set_autocast_enabled(GPU, before[0])
            torch.set_autocast_dtype(GPU, before[1])
            forget_tables()

    @contextmanager
    def as_one(self, name: str) -> Iterator[None]:
        """What the block starts counts as one launch of this name."""
        self.launches[name] += not self.paused
        before, self.paused = self.paused, True
        try:
            yield
        finally:
            self.paused = before


class _Functions(TorchFunctionMode):
    """Counts attention as the one kernel that a GPU has for it; the stand-in takes it apart."""

    def __init__(self, device: StandIn) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, function: Callable[..., Result], types: Any, args: tuple = (),
                           kwargs: dict | None = None) -> Result:
        if function is F.scaled_dot_product_attention and args[0].is_cuda:
            with self.device.as_one('scaled_dot_product_attention'):
                return function(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


class _Operators(TorchDispatchMode):
    """Counts operators of the stand-in, and refuses copies for which the host would wait."""

    def __init__(self, device: StandIn) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (),
                           kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        there = any(one.device.type == GPU for one in _tensors((args, kwargs)))
        wanted = kwargs.get('device')
        if wanted is not None and torch.device(wanted).type == GPU and not there:
            with self.device._values:  # made on the GPU, or copied to it
                out = function(*args, **kwargs)
        else:
            out = function(*args, **kwargs)
        self._check(function, args, kwargs, out)
        on_gpu = any(one.device.type == GPU for one in _tensors(out))
        if on_gpu and not self.device.paused and name_of(function) not in _FREE:
            self.device.launches[name_of(function)] += _kernels(function, args)
        return out

    @staticmethod
    def _check(function: Any, args: tuple, kwargs: dict, out: Any) -> None:
        name = name_of(function)
        if name == 'nms' or name == '_local_scalar_dense' and isinstance(args[0], FakeTensor):
            raise HostWaits(f'{function} needs values')
        if name not in ('_to_copy', 'copy_'):
            return
        source = args[1] if name == 'copy_' else args[0]
        blocking = not (kwargs.get('non_blocking') or name == 'copy_' and len(args) > 2 and args[2])
        if source.device.type != out.device.type and blocking:
            raise HostWaits(f'a copy from {source.device} to {out.device} that is waited for')


def _kernels(function: Any, args: tuple) -> int:
    """Kernels of an operator, where that is known; an operator of ours has one for each map."""
    if not name_of(function).startswith('deform_columns'):
        return 1
    *_, masks, _, _, begin, end = args
    first = count = 0
    for mask in masks:
        after = first + mask[:, 0].numel()
        count += first < end and begin < after
        first = after
    return count


def name_of(function: Any) -> str:
    """Name of an operator without its library and overload."""
    return function.overloadpacket.__name__


def _tensors(values: Any) -> list[Tensor]:
    return [one for one in pytree.tree_leaves(values) if isinstance(one, Tensor)]
