"""Work on a GPU that is recorded once and then replayed in one go, as CUDA graphs do.

A detector starts some thousand kernels for one image, and a fast GPU ends them sooner than Python
can start them. A recording starts them all by one call. It holds for one shape of everything that
goes in, and reads the weights where they are: weights that are written in place count at once.
"""
from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from glipkit.common.devices import on_gpu_of
from glipkit.errors import UserError
from glipkit.models.kernels.tables import used_tables

Function = Callable[..., Sequence[Tensor]]
WARM_UPS = 2
"""Plain calls before the recording: libraries choose their algorithms, tables are made."""


class Recording(NamedTuple):
    """Replays a function on what is in the tensors it was recorded with."""
    replay: Callable[[], None]
    outputs: list[Tensor]
    #: What else its work reads, kept alive by this.
    tables: Sequence[Any] = ()


@dataclass
class _Kept:
    recording: Recording
    inputs: list[Tensor]


class RecordedCalls:
    """Calls functions of tensors by recordings, made when arguments of new shapes come.

    Safe for several threads: calls take turns. Results are copies.

    Args:
        most: Largest number of recordings to keep; the one used least recently is dropped first.
        record: Makes a recording of a function and the tensors that it reads.
    """

    def __init__(self, most: int = 16,
                 record: Callable[[Function, list[Tensor]], Recording] | None = None) -> None:
        self.most = most
        self._record = record or record_graph
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        #: Module -> a number of its own, and where its weights are.
        self._owners: weakref.WeakKeyDictionary[nn.Module, tuple[int, tuple[int, ...]]] = \
            weakref.WeakKeyDictionary()
        self._next = 0

    def __len__(self) -> int:
        """Number of recordings."""
        return len(self._kept)

    def __reduce__(self) -> tuple:
        # Copies of a model, whose weights are elsewhere, begin without recordings.
        return type(self), (self.most, )

    def __call__(self, owner: nn.Module, function: Function, *arguments: Tensor) -> list[Tensor]:
        """What ``function`` gives for the arguments.

        Args:
            owner: Module with all weights that the function reads. Where one has moved, its
                recordings are made again.
            function: Function of tensors, without gradients, that makes nothing wait; its name
                tells the functions of one owner apart.
            *arguments: Its arguments, on one GPU.

        Raises:
            UserError: The work cannot be recorded.
        """
        with self._lock:
            key = (self._number(owner), function.__name__, _kind(arguments))
            kept = self._kept.get(key)
            if kept is None:
                kept = self._kept[key] = self._new(function, arguments)
                while len(self._kept) > self.most:
                    self._kept.popitem(last=False)
            else:
                for own, given in zip(kept.inputs, arguments):
                    own.copy_(given)
            self._kept.move_to_end(key)
            kept.recording.replay()
            return [out.clone() for out in kept.recording.outputs]

    def _number(self, owner: nn.Module) -> int:
        places = tuple(p.data_ptr() for p in (*owner.parameters(), *owner.buffers()))
        number, known = self._owners.get(owner, (None, None))
        if known != places:
            for key in [key for key in self._kept if key[0] == number]:
                del self._kept[key]
            number, self._next = self._next, self._next + 1
            self._owners[owner] = number, places
        return number

    def _new(self, function: Function, arguments: Sequence[Tensor]) -> _Kept:
        inputs = [one.clone() for one in arguments]
        try:
            return _Kept(self._record(function, inputs), inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            told = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError('work on a GPU that can be recorded as a graph', told,
                            'leave graphs out') from error


def _kind(arguments: Sequence[Tensor]) -> Hashable:
    """What a recording holds for: shapes, types, memory layouts, and the autocast."""
    device = arguments[0].device
    autocast = torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type)
    return autocast, tuple((one.device, one.dtype, tuple(one.shape), one.stride())
                           for one in arguments)


def record_graph(function: Function, inputs: list[Tensor]) -> Recording:
    """Records a function on the GPU of its arguments."""
    with on_gpu_of(inputs[0]):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                function(*inputs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Weights that autocast has turned into another type before are not part of the recording,
        # and those that it turns within are its own.
        torch.clear_autocast_cache()
        try:
            with used_tables() as tables, \
                    torch.cuda.graph(graph, capture_error_mode='thread_local'):
                outputs = list(function(*inputs))
        finally:
            torch.clear_autocast_cache()
    return Recording(graph.replay, outputs, tables)
