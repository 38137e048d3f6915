"""RoIAlign as two matrix products.

The average of bilinear samples over a bin is a product of weights along the rows and weights along
the columns of the map (He et al., "Mask R-CNN", ICCV 2017, section 3). So a region is
``rows @ map @ columns'``, which a processor computes faster than single samples, and cells of a
coarser grid are sums of the same weights. R regions, S cells per side, C channels.
"""
from __future__ import annotations

import torch
from torch import Tensor


def axis_weights(start: Tensor, stop: Tensor, cells: int, length: int) -> Tensor:
    """Weights of one axis, as torchvision's RoIAlign with adaptive sampling has them.

    Args:
        start: First coordinate of each region in cells of the map (R,), whose first centre is at 0.
        stop: Last coordinate (R,).
        cells: Cells S of a region.
        length: Cells of the map along this axis.

    Returns:
        (R, S, length); rows sum to 1 where all samples lie within one cell around the map.
    """
    step = (stop - start) / cells
    counts = step.ceil().clamp(min=0)  # samples per cell
    most = int(counts.max()) if len(counts) else 0
    numbers = torch.arange(most, device=start.device)
    inside = (numbers + 0.5) * step[:, None] / counts.clamp(min=1)[:, None]  # (R, most)
    edges = start[:, None] + torch.arange(cells, device=start.device) * step[:, None]  # (R, S)
    places = edges[:, :, None] + inside[:, None]
    real = (numbers < counts[:, None])[:, None] & (places >= -1) & (places <= length)
    places = places.clamp(0, length - 1)
    low = places.floor().long()
    high = (low + 1).clamp(max=length - 1)
    share = real / counts.clamp(min=1)[:, None, None]
    weights = start.new_zeros(len(start), cells, length)
    weights.scatter_add_(2, low, share * (low + 1 - places))
    return weights.scatter_add_(2, high, share * (places - low))


def pool_region(cells: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """One region of a map (h, w, C) with weights (S, h) and (S, w): (S, S, C)."""
    seen_rows, seen_columns = rows.any(0).nonzero(), columns.any(0).nonzero()
    if not len(seen_rows) or not len(seen_columns):
        return cells.new_zeros(len(rows), len(columns), cells.shape[2])
    y = slice(int(seen_rows[0]), int(seen_rows[-1]) + 1)
    x = slice(int(seen_columns[0]), int(seen_columns[-1]) + 1)
    part = cells[y, x]
    across = rows[:, y] @ part.reshape(len(part), -1)
    return torch.matmul(columns[:, x], across.view(len(rows), part.shape[1], -1))


def region_weights(rois: Tensor, cells: int, scale: float,
                   size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Weights of rows (R, S, h) and columns (R, S, w) for regions of a map.

    Args:
        rois: (R, 5): index of the image, and xyxy in pixels of the image.
        cells: Cells S per side of a region.
        scale: Size of the map over that of the image.
        size: Size (h, w) of the map.
    """
    x1, y1, x2, y2 = (rois[:, 1:] * scale - 0.5).unbind(1)
    return axis_weights(y1, y2, cells, size[0]), axis_weights(x1, x2, cells, size[1])


def pool_regions(maps: Tensor, rois: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """RoIAlign: maps (B, C, h, w) and (R, 5) -> (R, C, S, S), in channels-last memory."""
    if not len(rois):
        return maps.new_zeros(0, maps.shape[1], rows.shape[1], columns.shape[1])
    images = maps.permute(0, 2, 3, 1)
    found = [pool_region(images[image], *weights)
             for image, *weights in zip(rois[:, 0].long().tolist(), rows, columns)]
    return torch.stack(found).permute(0, 3, 1, 2)
