"""Where a modulated deformable 3x3 convolution looks, and the four neighbours of each place.

Zhu et al., CVPR 2019, equation (1). B images, (H, W) input and (h, w) output size.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NEIGHBOURS = 4
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
