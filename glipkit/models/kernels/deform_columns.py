"""What a deformable 3x3 convolution samples, side by side, by two Triton kernels for a GPU.

A column matrix has one row for each output position and, in it, C channels for each of the nine
taps: the weighted sum of a sampling position's four neighbours. The convolution is then one
product of matrices, in whatever type the maps have. :func:`.deform_on_gpu.gathered_columns` gives
the same numbers anywhere; it is the reference.

This module imports Triton: import it where it is used. Shapes: maps below each other as a table
(rows, C), offsets (B, 18, h, w) and masks (B, 9, h, w) in float32.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from glipkit.common.devices import on_gpu_of
from glipkit.models.kernels.operators import operator

TAPS = 9
POSITIONS = 16
"""Output positions of one program; its samples of 256 channels fill the registers of a block."""
CHANNELS = 256

#: Numbers that differ between maps: a kernel for each kind of them would be built anew.
_VARYING = ('offset_step', 'mask_step', 'start', 'count', 'first', 'height', 'width', 'h', 'w',
            'stride')


@triton.jit
def _place(offset, mask, offset_step, mask_step, at, tap, inside, height, width, h, w, stride):
    """Where some outputs sample at one tap: image, upper left cell, fractions and mask value."""
    image, place = at // (h * w), at % (h * w)
    shifts = offset + image.to(tl.int64) * offset_step + 2 * tap * h * w + place
    y = tl.load(shifts, mask=inside, other=0.) + ((place // w) * stride + tap // 3 - 1)
    x = tl.load(shifts + h * w, mask=inside, other=0.) + ((place % w) * stride + tap % 3 - 1)
    value = tl.load(mask + image.to(tl.int64) * mask_step + tap * h * w + place, mask=inside,
                    other=0.)
    # Positions further outside have no neighbour either, and would not fit an integer.
    y = tl.minimum(tl.maximum(y, -2.), height + 1.)
    x = tl.minimum(tl.maximum(x, -2.), width + 1.)
    top, left = tl.floor(y), tl.floor(x)
    return image, top.to(tl.int32), left.to(tl.int32), y - top, x - left, value


@triton.jit
def _cell(image, row, column, inside, first, height, width):
    """Row of the table of one neighbour, and whether it is in the map."""
    real = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return (first + (image * height + row) * width + column).to(tl.int64), real


@triton.jit
def _rows(table, cell, real, channel, channels):
    """Rows of the table, zero outside; (positions, channels) in float32."""
    return tl.load(table + cell[:, None] * channels + channel[None, :],
                   mask=real[:, None] & (channel < channels)[None, :], other=0.).to(tl.float32)


@triton.jit(do_not_specialize=_VARYING)
def _columns(table, offset, mask, out, offset_step, mask_step, start, count, first, height, width,
             h, w, stride, channels, P: tl.constexpr, C: tl.constexpr):
    """``P`` rows of the column matrix at one tap, ``C`` channels at a time."""
    tap = tl.program_id(1)
    row = tl.program_id(0) * P + tl.arange(0, P)
    inside = row < count
    image, top, left, down, right, value = _place(
        offset, mask, offset_step, mask_step, start + row, tap, inside, height, width, h, w, stride)
    cell00, real00 = _cell(image, top, left, inside, first, height, width)
    cell01, real01 = _cell(image, top, left + 1, inside, first, height, width)
    cell10, real10 = _cell(image, top + 1, left, inside, first, height, width)
    cell11, real11 = _cell(image, top + 1, left + 1, inside, first, height, width)
    for begin in range(0, channels, C):
        channel = begin + tl.arange(0, C)
        total = (_rows(table, cell00, real00, channel, channels)
                 * ((1 - down) * (1 - right) * value)[:, None]
                 + _rows(table, cell01, real01, channel, channels)
                 * ((1 - down) * right * value)[:, None]
                 + _rows(table, cell10, real10, channel, channels)
                 * (down * (1 - right) * value)[:, None]
                 + _rows(table, cell11, real11, channel, channels)
                 * (down * right * value)[:, None])
        places = row.to(tl.int64)[:, None] * (9 * channels) + tap * channels + channel[None, :]
        tl.store(out + places, total.to(out.dtype.element_ty),
                 mask=inside[:, None] & (channel < channels)[None, :])


@triton.jit
def _spread(table, cell, real, channel, channels, grad):
    """Adds gradients (positions, channels) to rows of the table."""
    tl.atomic_add(table + cell[:, None] * channels + channel[None, :], grad,
                  mask=real[:, None] & (channel < channels)[None, :])


@triton.jit(do_not_specialize=_VARYING)
def _columns_backward(grad, table, offset, mask, grad_table, grad_offset, grad_mask, offset_step,
                      mask_step, start, count, first, height, width, h, w, stride, channels,
                      P: tl.constexpr, C: tl.constexpr):
    """Gradients of what ``P`` outputs sampled at one tap."""
    tap = tl.program_id(1)
    row = tl.program_id(0) * P + tl.arange(0, P)
    inside = row < count
    image, top, left, down, right, value = _place(
        offset, mask, offset_step, mask_step, start + row, tap, inside, height, width, h, w, stride)
    cell00, real00 = _cell(image, top, left, inside, first, height, width)
    cell01, real01 = _cell(image, top, left + 1, inside, first, height, width)
    cell10, real10 = _cell(image, top + 1, left, inside, first, height, width)
    cell11, real11 = _cell(image, top + 1, left + 1, inside, first, height, width)
    by_y = tl.zeros([P], tl.float32)
    by_x = tl.zeros([P], tl.float32)
    by_mask = tl.zeros([P], tl.float32)
    for begin in range(0, channels, C):
        channel = begin + tl.arange(0, C)
        places = row.to(tl.int64)[:, None] * (9 * channels) + tap * channels + channel[None, :]
        own = tl.load(grad + places, mask=inside[:, None] & (channel < channels)[None, :],
                      other=0.).to(tl.float32)
        # How much of each neighbour's row is in the gradient.
        share00 = tl.sum(own * _rows(table, cell00, real00, channel, channels), 1)
        share01 = tl.sum(own * _rows(table, cell01, real01, channel, channels), 1)
        share10 = tl.sum(own * _rows(table, cell10, real10, channel, channels), 1)
        share11 = tl.sum(own * _rows(table, cell11, real11, channel, channels), 1)
        by_mask += ((1 - down) * ((1 - right) * share00 + right * share01)
                    + down * ((1 - right) * share10 + right * share11))
        by_y += (1 - right) * (share10 - share00) + right * (share11 - share01)
        by_x += (1 - down) * (share01 - share00) + down * (share11 - share10)
        own = own * value[:, None]
        _spread(grad_table, cell00, real00, channel, channels,
                own * ((1 - down) * (1 - right))[:, None])
        _spread(grad_table, cell01, real01, channel, channels, own * ((1 - down) * right)[:, None])
        _spread(grad_table, cell10, real10, channel, channels, own * (down * (1 - right))[:, None])
        _spread(grad_table, cell11, real11, channel, channels, own * (down * right)[:, None])
    place, at = (start + row) % (h * w), image.to(tl.int64)
    shifts = grad_offset + at * (18 * h * w) + 2 * tap * h * w + place
    tl.store(shifts, by_y * value, mask=inside)
    tl.store(shifts + h * w, by_x * value, mask=inside)
    tl.store(grad_mask + at * (9 * h * w) + tap * h * w + place, by_mask, mask=inside)


def _launch(kernel, tensors: tuple[Tensor, ...], offsets: Sequence[Tensor],
            masks: Sequence[Tensor], outputs: Callable[[int, slice], tuple[Tensor, ...]],
            sizes: Sequence[int], stride: int, begin: int, end: int) -> None:
    """Runs a kernel on the rows ``begin`` to ``end`` of the column matrix, map by map.

    Args:
        kernel: The kernel.
        tensors: Its first arguments, up to the table; those of rows begin with row ``begin``.
        offsets: As in `columns`; so are the others.
        outputs: Function of the number of a map and the rows of this call that are in it -> the
            tensors that the kernel writes to.
    """
    channels = tensors[-1].size(1)
    first = done = 0
    for i, (offset, mask) in enumerate(zip(offsets, masks)):
        batch, _, h, w = mask.shape
        height, width = sizes[2 * i:2 * i + 2]
        start, stop = max(begin, done), min(end, done + batch * h * w)
        if stop > start:
            rows = slice(start - begin, stop - begin)
            grads = [one[rows] for one in tensors[:-1]]
            kernel[(triton.cdiv(stop - start, POSITIONS), TAPS)](
                *grads, tensors[-1], offset, mask, *outputs(i, rows), offset.stride(0),
                mask.stride(0), start - done, stop - start, first, height, width, h, w, stride,
                channels, P=POSITIONS, C=min(CHANNELS, triton.next_power_of_2(channels)))
        first += batch * height * width
        done += batch * h * w


@operator('deform_columns')
def columns(table: Tensor, offsets: Sequence[Tensor], masks: Sequence[Tensor],
            sizes: Sequence[int], stride: int, begin: int, end: int) -> Tensor:
    """Rows of the column matrix of several maps.

    Args:
        table: Positions of all maps below each other, (rows, C), contiguous.
        offsets: Of each map (B, 18, h, w), contiguous behind the first axis, float32.
        masks: Of each map (B, 9, h, w), likewise.
        sizes: Height and width of each map, one after another.
        stride: Stride of the output grids.
        begin: First row.
        end: Row after the last one.

    Returns:
        (end - begin, 9 * C) in the table's dtype.
    """
    out = table.new_empty(end - begin, TAPS * table.size(1))
    with on_gpu_of(table):
        _launch(_columns, (table, ), offsets, masks, lambda i, rows: (out[rows], ), sizes, stride,
                begin, end)
    return out


@columns.register_fake
def _(table: Tensor, offsets: Sequence[Tensor], masks: Sequence[Tensor], sizes: Sequence[int],
      stride: int, begin: int, end: int) -> Tensor:
    return table.new_empty(end - begin, TAPS * table.size(1))


@operator('deform_columns_backward')
def columns_backward(grad: Tensor, table: Tensor, offsets: Sequence[Tensor],
                     masks: Sequence[Tensor], sizes: Sequence[int], stride: int, begin: int,
                     end: int) -> list[Tensor]:
    """Gradients for that of some rows of the column matrix (end - begin, 9 * C), contiguous.

    Returns:
        Of the table, in float32, then of all offsets, then of all masks. Sums into the table are
        in no fixed order.
    """
    grad_table = torch.zeros_like(table, dtype=torch.float32)
    grads = [torch.zeros(one.shape, device=one.device) for one in (*offsets, *masks)]
    with on_gpu_of(table):
        _launch(_columns_backward, (grad, table), offsets, masks,
                lambda i, rows: (grad_table, grads[i], grads[len(offsets) + i]), sizes, stride,
                begin, end)
    return [grad_table, *grads]


@columns_backward.register_fake
def _(grad: Tensor, table: Tensor, offsets: Sequence[Tensor], masks: Sequence[Tensor],
      sizes: Sequence[int], stride: int, begin: int, end: int) -> list[Tensor]:
    return [torch.empty_like(table, dtype=torch.float32),
            *(torch.empty(one.shape, device=one.device) for one in (*offsets, *masks))]
