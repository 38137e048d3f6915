"""Modulated deformable convolution on a GPU, in whatever type the maps have.

torchvision's operator turns everything into float32 under autocast. Here what is sampled stands
side by side as a matrix, in the type of the maps, and one product gives the outputs of all maps.
The matrix is made again in the backward pass. Two kernels make it (:mod:`.deform_columns`); where
they cannot be built, or do not give the numbers of the reference, a gather does.

R rows of the table, C channels in, D out, M output positions of all maps.
"""
from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from glipkit.models.kernels.sampling import NEIGHBOURS, TAPS, Geometry, bilinear_rows

COLUMN_BYTES = 512 << 20
"""Most memory of the column matrix; a larger one is made and multiplied in pieces."""


class Sampler(NamedTuple):
    """Makes columns and their gradients: functions with the arguments of `deform_columns`."""
    columns: Callable[..., Tensor]
    backward: Callable[..., list[Tensor]]


@dataclass(frozen=True)
class _Call:
    """What the functions of a sampler need besides tensors."""
    sampler: Sampler
    sizes: tuple[int, ...]
    stride: int
    maps: int

    def parts(self, geometry: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Offsets and masks."""
        return list(geometry[:self.maps]), list(geometry[self.maps:])


def deform_product(table: Tensor, geometries: Sequence[Geometry], sizes: Sequence[tuple[int, int]],
                   stride: int, kernel: Tensor, bias: Tensor) -> Tensor:
    """Deformable convolutions of several maps as one matrix.

    Args:
        table: Positions of all maps below each other (R, C).
        geometries: Offsets (B, 18, h, w) and masks (B, 9, h, w) of each map, float32.
        sizes: Height and width of each map.
        stride: Stride of the output grids.
        kernel: Kernel (9 * C, D), in the table's dtype.
        bias: Bias (D,), in the table's dtype.

    Returns:
        (M, D), the positions of all outputs below each other.
    """
    call = _Call(sampler(table.device, table.dtype), tuple(side for size in sizes for side in size),
                 stride, len(geometries))
    return _Product.apply(call, table.contiguous(), kernel, bias,
                          *(_flat(g.offset) for g in geometries),
                          *(_flat(g.mask) for g in geometries))


def _flat(x: Tensor) -> Tensor:
    """A tensor (B, ...) whose images are each in one piece, as kernels read them."""
    return x if x[0].is_contiguous() else x.contiguous()


def _pieces(table: Tensor, masks: Sequence[Tensor]) -> list[tuple[int, int]]:
    """Runs of rows whose columns fit into the memory for them."""
    rows = sum(mask[:, 0].numel() for mask in masks)
    most = max(1, COLUMN_BYTES // (TAPS * table.size(1) * table.element_size()))
    return [(begin, min(begin + most, rows)) for begin in range(0, rows, most)]


class _Product(torch.autograd.Function):

    @staticmethod
    def forward(ctx, call: _Call, table: Tensor, kernel: Tensor, bias: Tensor,
                *geometry: Tensor) -> Tensor:
        ctx.call = call
        ctx.save_for_backward(table, kernel, *geometry)
        offsets, masks = call.parts(geometry)
        with torch.autocast(table.device.type, enabled=False):
            products = [torch.addmm(bias, call.sampler.columns(
                table, offsets, masks, call.sizes, call.stride, *piece), kernel)
                for piece in _pieces(table, masks)]
        return torch.cat(products) if len(products) > 1 else products[0]

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        call: _Call = ctx.call
        table, kernel, *geometry = ctx.saved_tensors
        offsets, masks = call.parts(geometry)
        sums = torch.promote_types(table.dtype, torch.float32)
        grad_kernel = torch.zeros_like(kernel, dtype=sums)
        grads: list[Tensor] = []
        with torch.autocast(table.device.type, enabled=False):
            for begin, end in _pieces(table, masks):
                arguments = (table, offsets, masks, call.sizes, call.stride, begin, end)
                own = grad[begin:end].contiguous()
                grad_kernel += call.sampler.columns(*arguments).t() @ own
                found = call.sampler.backward((own @ kernel.t()).contiguous(), *arguments)
                grads = [a + b for a, b in zip(grads, found)] if grads else found
        return (None, grads[0].to(table.dtype), grad_kernel.to(kernel.dtype), grad.sum(0),
                *(one.to(own.dtype) for one, own in zip(grads[1:], geometry)))


# -- the reference: a gather, on any device and in any type ---------------------------------------


def gathered_columns(table: Tensor, offsets: Sequence[Tensor], masks: Sequence[Tensor],
                     sizes: Sequence[int], stride: int, begin: int, end: int) -> Tensor:
    """As `deform_columns.columns`, by PyTorch's own operators."""
    first, parts = 0, []
    for i, (offset, mask) in enumerate(zip(offsets, masks)):
        height, width = sizes[2 * i:2 * i + 2]
        parts.append(bilinear_rows(Geometry(offset, mask), (height, width), stride, first))
        first += len(mask) * height * width
    rows, weights = (torch.cat(part)[begin:end] for part in zip(*parts))
    sampled = F.embedding_bag(rows.reshape(-1, NEIGHBOURS), table, mode='sum',
                              per_sample_weights=weights.to(table.dtype).reshape(-1, NEIGHBOURS))
    return sampled.view(end - begin, -1)


def gathered_backward(grad: Tensor, table: Tensor, offsets: Sequence[Tensor],
                      masks: Sequence[Tensor], *arguments: int) -> list[Tensor]:
    """As `deform_columns.columns_backward`, by PyTorch's own gradients."""
    inputs = [one.detach().requires_grad_() for one in (table, *offsets, *masks)]
    with torch.enable_grad():
        made = gathered_columns(inputs[0], inputs[1:len(offsets) + 1], inputs[len(offsets) + 1:],
                                *arguments)
    return list(torch.autograd.grad(made, inputs, grad))


GATHERED = Sampler(gathered_columns, gathered_backward)


# -- which of both --------------------------------------------------------------------------------


@lru_cache
def sampler(device: torch.device, dtype: torch.dtype) -> Sampler:
    """The kernels where they work for a type, else the gather.

    They are built and compared with the gather when they are first asked for, which takes some
    seconds once. A warning says why they are not used.
    """
    if device.type != 'cuda' or dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return GATHERED
    try:
        from glipkit.models.kernels import deform_columns
        found = Sampler(deform_columns.columns, deform_columns.columns_backward)
        if torch.cuda.is_available():  # else nothing computes: shapes alone are followed
            check_sampler(found, device, dtype)
    except Exception as error:  # no Triton, no compiler, a GPU that it does not know, ...
        warnings.warn('deformable convolutions run by a gather, which is slower: the kernels of '
                      f'Triton cannot be used ({type(error).__name__}: {error})', stacklevel=2)
        return GATHERED
    return found


def check_sampler(found: Sampler, device: torch.device, dtype: torch.dtype) -> None:
    """Compares a sampler with the gather on two small maps.

    Raises:
        RuntimeError: Their numbers differ.
    """
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
        table = draw(2 * (35 + 12), 40).to(device, dtype)
        offsets, masks = ([(scale * draw(2, channels, *size)).to(device)
                           for size in ((3, 4), (2, 2))] for scale, channels in ((2., 18), (1., 9)))
        arguments = (table, offsets, masks, (5, 7, 3, 4), 2, 3, 29)
        grad = draw(26, TAPS * 40).to(device, dtype)
        pairs = [(found.columns(*arguments), gathered_columns(*arguments)),
                 *zip(found.backward(grad, *arguments), gathered_backward(grad, *arguments))]
        tolerance = 1e-4 if dtype == torch.float32 else 5e-2
        for own, wanted in pairs:
            if not torch.allclose(own.float(), wanted.float(), rtol=tolerance,
                                  atol=tolerance * float(wanted.abs().max())):
                raise RuntimeError('their numbers differ from those of the gather')
