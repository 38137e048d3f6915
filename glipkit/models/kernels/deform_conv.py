"""Modulated deformable convolution (Zhu et al., CVPR 2019, equation (1)), 3x3, padding 1.

On CUDA this is torchvision's kernel; elsewhere rows of a channels-last table are gathered with
their four bilinear weights and multiplied, which is several times faster than torchvision's CPU
code. The maps of a pyramid share one table and one call. B images, C channels in, D out, (H, W)
input and (h, w) output size.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import deform_conv2d as torchvision_deform_conv2d

from glipkit.models.kernels.gathered_product import gathered_product

TAPS = 9


@dataclass(frozen=True)
class Geometry:
    """Sampling positions and weights of the taps of one output map.

    Attributes:
        offset: (B, 18, h, w), per tap the shift (y, x) in input pixels.
        mask: (B, 9, h, w), weight of each tap.
    """
    offset: Tensor
    mask: Tensor


def deform_conv2d(maps: Sequence[Tensor], table: Tensor | None, geometries: Sequence[Geometry],
                  weight: Tensor, bias: Tensor, stride: int, whole: bool = False) -> list[Tensor]:
    """Convolve maps at shifted and weighted positions, each map with its own geometry.

    Sampling positions and their weights are float32 (or wider); products have the autocast dtype.

    Args:
        maps: Maps (B, C, H_i, W_i).
        table: Result of :func:`level_table` for these maps; without ``whole``, outside CUDA.
        geometries: Geometry of each output map, as many as ``maps``.
        weight: Weight (D, C, 3, 3).
        bias: Bias (D,).
        stride: Stride of the output grids.
        whole: Whether torchvision's operator takes each map as on CUDA: exporters know it.

    Returns:
        Maps (B, D, h_i, w_i); outside CUDA in channels-last memory.
    """
    if maps[0].is_cuda or whole:
        return [torchvision_deform_conv2d(x, g.offset, weight, bias, stride, 1, mask=g.mask)
                for x, g in zip(maps, geometries, strict=True)]
    if table is None:
        table = level_table(maps)
    sampled, first = [], 0
    for x, geometry in zip(maps, geometries, strict=True):
        batch, _, height, width = x.shape
        sampled.append(bilinear_rows(geometry, (height, width), stride, first))
        first += batch * height * width
    rows, weights = (torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*sampled))
    kernel = weight.to(table.dtype).permute(2, 3, 1, 0).reshape(-1, len(weight))
    out = gathered_product(table, rows, weights, kernel, bias.to(table.dtype))
    shapes = [(len(g.mask), *g.mask.shape[-2:]) for g in geometries]
    parts = out.split([b * h * w for b, h, w in shapes])
    return [part.view(*shape, -1).permute(0, 3, 1, 2) for part, shape in zip(parts, shapes)]


def level_table(maps: Sequence[Tensor]) -> Tensor:
    """Maps (B, C, H_i, W_i) -> their positions below each other, (sum of B*H_i*W_i, C).

    In the autocast dtype. A run of neighbouring maps is a run of rows.
    """
    device = maps[0].device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return torch.cat([x.permute(0, 2, 3, 1).reshape(-1, x.size(1)).to(dtype or x.dtype)
                      for x in maps])


def bilinear_rows(geometry: Geometry, size: tuple[int, int], stride: int,
                  first: int = 0) -> tuple[Tensor, Tensor]:
    """The four neighbours of every sampling position.

    Args:
        geometry: Offsets and masks of (h, w) outputs.
        size: Size (H, W) of the input.
        stride: Stride of the output grid.
        first: Row of the table at which the input begins.

    Returns:
        Table rows (int32) and their weights, both (B*h*w, 9 * 4). A neighbour outside the image
        has weight 0.
    """
    height, width = size
    batch, taps, h, w = geometry.mask.shape
    device = geometry.mask.device
    shift = geometry.offset.view(batch, taps, 2, h, w).permute(2, 0, 3, 4, 1)
    tap = torch.arange(taps, device=device)
    y = torch.arange(h, device=device)[:, None, None] * stride + tap // 3 - 1
    x = torch.arange(w, device=device)[:, None] * stride + tap % 3 - 1
    tops, downs = _neighbours(shift[0] + y, height)
    lefts, rights = _neighbours(shift[1] + x, width)
    mask = geometry.mask.permute(0, 2, 3, 1)
    image = torch.arange(batch, dtype=torch.int32, device=device) * (height * width) + first
    rows, weights = [], []
    for row, vertical in (tops, downs):
        row, vertical = row * width + image.view(-1, 1, 1, 1), vertical * mask
        for column, horizontal in (lefts, rights):
            rows.append(row + column)
            weights.append(vertical * horizontal)
    return (torch.stack(rows, dim=-1).view(-1, taps * 4),
            torch.stack(weights, dim=-1).view(-1, taps * 4))


def _neighbours(position: Tensor, size: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """Cells before and after each position with their weights; cells outside get weight 0."""
    before = position.detach().floor()
    fraction = position - before
    # Positions further outside have weight 0 too, and very large ones would not fit an integer.
    before = before.clamp(-2, size)
    return tuple(
        (cell.clamp(0, size - 1).int(), weight * ((cell >= 0) & (cell < size)))
        for cell, weight in ((before, 1 - fraction), (before + 1, fraction)))
