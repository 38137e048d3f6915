"""Floating point operations that torch carries out, and how many of them this machine can do.

A multiplication with an addition counts as two. Counted is the work of matrix products,
convolutions and attention, and of gathers with interpolation; not that of element-wise functions,
norms and softmax, which are bound by memory.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from glipkit.benchmarks.workload import DTYPES
from glipkit.common.linear import prepared

Shape = Sequence[int]
#: Side of the largest matrices: a product of these saturates any such device.
LARGEST_SIDE = {'cpu': 2048, 'cuda': 8192}
#: One product of at least this time is long enough to be timed, and ends on any processor.
MATMUL_SECONDS = .02
MATMULS = 4
NEIGHBOURS = 4  # of a position between pixels
TAPS_2D = 2 * NEIGHBOURS  # operations for one interpolated value


def _deform_conv2d(x: Shape, weight: Shape, *_: Any, out_shape: Shape) -> int:
    """Sampling at every tap, then the matrix product of an ordinary convolution."""
    positions = out_shape[0] * prod(out_shape[2:])
    taps = prod(weight[2:])
    return positions * taps * (TAPS_2D * x[1] + 2 * weight[0] * weight[1])


def _deform_conv2d_backward(grad: Shape, x: Shape, weight: Shape, *_: Any,
                            out_shape: Any) -> int:
    """One product each for the gradients of samples and weight; samples are taken and spread."""
    return 2 * _deform_conv2d(x, weight, out_shape=grad)


def _embedding_bag(table: Shape, rows: Shape, *_: Any, out_shape: Any) -> int:
    return 2 * prod(rows) * table[1]


def _embedding_bag_backward(grad: Shape, rows: Shape, *_: Any, out_shape: Any) -> int:
    return 2 * prod(rows) * grad[1]


def _embedding_bag_weights_backward(grad: Shape, table: Shape, rows: Shape, *_: Any,
                                    out_shape: Any) -> int:
    return 2 * prod(rows) * table[1]


def _grid_sample(x: Shape, grid: Shape, *_: Any, out_shape: Shape) -> int:
    return TAPS_2D * prod(out_shape)


def _grid_sample_backward(grad: Shape, *_: Any, out_shape: Any) -> int:
    return 2 * TAPS_2D * prod(grad)


aten, vision = torch.ops.aten, torch.ops.torchvision
assert torchvision  # its import makes the operators

# Operators that torch's counter does not know.
CORRECTIONS: dict[Any, Callable[..., int]] = {
    vision.deform_conv2d: _deform_conv2d,
    vision._deform_conv2d_backward: _deform_conv2d_backward,
    aten._embedding_bag: _embedding_bag,
    aten._embedding_bag_forward_only: _embedding_bag,
    aten._embedding_bag_backward: _embedding_bag_backward,
    aten._embedding_bag_per_sample_weights_backward: _embedding_bag_weights_backward,
    aten.grid_sampler_2d: _grid_sample,
    aten.grid_sampler_2d_backward: _grid_sample_backward,
}


def count_flops(function: Callable[[], Any]) -> int:
    """Operations of one call, backward passes in it included.

    The function must not be compiled (what is fused is not seen) and not use inference mode, where
    the counter takes operators apart too late for autocast.
    """
    with FlopCounterMode(display=False, custom_mapping=CORRECTIONS) as counter:
        function()
    return int(counter.get_total_flops())


class Matmul:
    """A few large matrix products: what torch makes of this machine at its best.

    Processors have two libraries for them, MKL and oneDNN; the faster one is found out before.

    Args:
        dtype: ``'float32'`` or ``'bf16'``.
        device: Device to run on.
        threads: Threads of torch.
        side: Side of the square matrices; None takes the smallest whose product lasts.
    """

    def __init__(self, dtype: str, device: str, threads: int, side: int | None = None) -> None:
        torch.set_num_threads(threads)
        side = side or lasting_side(dtype, device)
        a, b = torch.randn(2, side, side, device=device, dtype=DTYPES[dtype])
        with torch.no_grad():
            layer = prepared(b, None, side)
        ways = {'torch.matmul': lambda: a @ b, 'oneDNN': lambda: layer(a)}
        if not layer.packed:
            del ways['oneDNN']
        seconds = {}
        for name, self._product in ways.items():
            self()
            seconds[name] = min(self._timed() for _ in range(3))
        fastest = min(seconds, key=seconds.get)
        self._product = ways[fastest]
        self.details = {'flops': MATMULS * 2 * side**3, 'side': side, 'library': fastest}

    def _timed(self) -> float:
        begin = time.perf_counter()
        self()
        return time.perf_counter() - begin

    def __call__(self) -> None:
        with torch.no_grad():
            for _ in range(MATMULS):
                product = self._product()
        if product.is_cuda:
            torch.cuda.synchronize()


def lasting_side(dtype: str, device: str, seconds: float = MATMUL_SECONDS) -> int:
    """Side of the smallest matrices (128, 256, ...) whose product takes so long.

    A processor without units for bfloat16 needs half a minute where others need a hundredth of a
    second, so that no size suits all.

    Args:
        dtype: Type, see :class:`Matmul`.
        device: Device to run on.
        seconds: Least time of one product; matrices end at :data:`LARGEST_SIDE` without it.
    """
    largest = LARGEST_SIDE.get(torch.device(device).type, LARGEST_SIDE['cuda'])
    side = 128
    while side < largest and _seconds_of_product(side, dtype, device) < seconds:
        side *= 2
    return side


def _seconds_of_product(side: int, dtype: str, device: str) -> float:
    """The shorter of two: the first one of a size may take longer."""
    matrix = torch.randn(side, side, device=device, dtype=DTYPES[dtype])

    def product() -> float:
        begin = time.perf_counter()
        found = matrix @ matrix
        if found.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    return min(product(), product())
