"""Scores of the cells of a map as scores of pixels, bilinear, a band of rows at a time.

K labels, h and w cells, H and W pixels. A tensor (K, H, W) is far larger than the map that it comes
from (a thousand classes at 4000 x 3000 pixels are 48 GB), and who wants labels needs none.
"""
from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

#: Numbers in the band of scores that is looked at in one go, 32 MB.
BAND = 1 << 23

Size = tuple[int, int]
Rates = tuple[float, float]


def pixel_labels(logits: Tensor, size: Size, rates: Rates) -> Tensor:
    """The best label of every pixel.

    Args:
        logits: (K, h, w), K at least 1.
        size: Pixels (H, W).
        rates: Cells per pixel, down and across; H pixels need not fill the last cell.

    Returns:
        (H, W) int32; the first one of equal labels.
    """
    if logits.device.type == 'cpu':
        return _labels_of_blocks(logits, size, rates)
    bands = [band.max(0).indices.to(torch.int32) for band in _bands(logits, size, rates)]
    return torch.cat(bands) if bands else logits.new_zeros(size, dtype=torch.int32)


def _labels_of_blocks(logits: Tensor, size: Size, rates: Rates) -> Tensor:
    """Labels (H, W), block by block between the centres of four cells.

    Inside a block a score lies between those of its corners: a label whose best corner is below the
    worst one of another never wins, and few labels are left.
    """
    (above, below, down), (left, right, across) = (
        _neighbours(0, length, rate, cells, logits)
        for length, rate, cells in zip(size, rates, logits.shape[1:]))
    padded = F.pad(logits[None], (0, 1, 0, 1), mode='replicate')
    sure = (-F.max_pool2d(-padded, 2, 1)[0]).amax(0)
    may_win = F.max_pool2d(padded, 2, 1)[0] >= sure - 1e-5 * sure.abs()
    found = torch.empty(size, dtype=torch.int32)
    for row, top, bottom in _runs(above):
        for column, first, end in _runs(left):
            labels = may_win[:, row, column].nonzero()[:, 0]
            if len(labels) > 1:
                corners = logits[labels][:, [row, int(below[top])]][
                    ..., [column, int(right[first])]]
                edges = torch.lerp(corners[:, :1], corners[:, 1:], down[top:bottom, None])
                scores = torch.lerp(edges[..., :1], edges[..., 1:], across[first:end])
                labels = labels[scores.max(0).indices]
            found[top:bottom, first:end] = labels
    return found


def pixel_probabilities(logits: Tensor, size: Size, rates: Rates, top: int = 0) -> Tensor:
    """The softmax over the labels of every pixel, (K, H, W).

    Args:
        logits: As in `pixel_labels`.
        size: As in `pixel_labels`.
        rates: As in `pixel_labels`.
        top: First row of pixels; ``size`` counts from it.
    """
    found = logits.new_empty(len(logits), *size)
    row = 0
    for band in _bands(logits, size, rates, top):
        found[:, row:row + band.shape[1]] = band.softmax(0)
        row += band.shape[1]
    return found


def _bands(logits: Tensor, size: Size, rates: Rates, top: int = 0) -> Iterator[Tensor]:
    """Logits (K, rows, W) of pixels, from the top; half a cell of border repeats the outer ones."""
    (above, below, down), (left, right, across) = (
        _neighbours(first, length, rate, cells, logits)
        for first, length, rate, cells in zip((top, 0), size, rates, logits.shape[1:]))
    rows = max(1, BAND // max(len(logits) * size[1], 1))
    for start in range(0, size[0], rows):
        part = slice(start, start + rows)
        band = torch.lerp(logits[:, above[part]], logits[:, below[part]], down[part, None])
        yield torch.lerp(band[..., left], band[..., right], across)


def _neighbours(first: int, length: int, rate: float, cells: int,
                like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each of ``length`` pixels from ``first`` on the cell before, the cell behind and the
    share of the latter.
    """
    pixels = torch.arange(first, first + length, device=like.device, dtype=torch.float64)
    place = (pixels + .5) * rate - .5
    place = place.clamp(0, cells - 1)
    before = place.floor().long()
    return before, (before + 1).clamp(max=cells - 1), (place - before).to(like.dtype)


def _runs(before: Tensor) -> list[tuple[int, int, int]]:
    """Each cell with the first pixel and the one behind the last that have it before them."""
    cells, counts = before.unique_consecutive(return_counts=True)
    ends = counts.cumsum(0)
    return list(zip(cells.tolist(), (ends - counts).tolist(), ends.tolist()))
