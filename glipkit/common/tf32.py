"""Whether a GPU may round factors of float32 products to TF32: the one place that says so.

TF32 keeps float32's range and 10 of its 23 bits. Products and convolutions are several times faster
with it on NVIDIA's GPUs since 2020. PyTorch allows it in convolutions and not in matrix products;
here both are allowed or neither is. The switches belong to the process, not to a thread.
"""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

Switches = tuple[bool, bool]


def set_tf32(allowed: bool) -> None:
    """Allows or forbids TF32 in products and convolutions of this process, from now on.

    A program that has set the ``fp32_precision`` of PyTorch itself keeps what it set.
    """
    if _read() is not None:
        _write((allowed, allowed))


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allows or forbids TF32 inside the block; what held before, holds again after it.

    Blocks may overlap in several threads: what held before the first one comes back when the last
    one ends. Where they ask for different things at the same time, the one that began last counts.
    """
    _OVERLAP.enter(allowed)
    try:
        yield
    finally:
        _OVERLAP.leave()


class _Overlap:
    """Counts the blocks that are open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0
        self._before: Switches | None = None

    def enter(self, allowed: bool) -> None:
        with self._lock:
            if not self._open:
                self._before = _read()
            self._open += 1
            if self._before is not None:
                _write((allowed, allowed))

    def leave(self) -> None:
        with self._lock:
            self._open -= 1
            if not self._open and self._before is not None:
                _write(self._before)


_OVERLAP = _Overlap()


def _read() -> Switches | None:
    """The switches of products and convolutions; None where the program uses PyTorch's others,
    which do not go together with these."""
    try:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    except RuntimeError:
        return None


def _write(switches: Switches) -> None:
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = switches
