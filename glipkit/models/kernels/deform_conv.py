"""Modulated deformable convolution (Zhu et al., CVPR 2019, equation (1)), 3x3, padding 1.

Rows of a channels-last table are gathered with their four bilinear weights and multiplied: on a
processor in pieces that its cache holds, several times faster than torchvision's code; on a GPU as
one matrix in the type of the maps (:mod:`.deform_on_gpu`). The maps of a pyramid share one table
and one call. B images, C channels in, D out, (H, W) input and (h, w) output size.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import deform_conv2d as torchvision_deform_conv2d

from glipkit.models.kernels.deform_on_gpu import deform_product
from glipkit.models.kernels.gathered_product import gathered_product
from glipkit.models.kernels.sampling import Geometry, bilinear_rows


def deform_conv2d(maps: Sequence[Tensor], table: Tensor | None, geometries: Sequence[Geometry],
                  weight: Tensor, bias: Tensor, stride: int, whole: bool = False) -> list[Tensor]:
    """Convolve maps at shifted and weighted positions, each map with its own geometry.

    Sampling positions and their weights are float32 (or wider); products have the autocast dtype.

    Args:
        maps: Maps (B, C, H_i, W_i).
        table: Result of :func:`level_table` for these maps, for all but ``whole``; None makes it.
        geometries: Geometry of each output map, as many as ``maps``.
        weight: Weight (D, C, 3, 3).
        bias: Bias (D,).
        stride: Stride of the output grids.
        whole: Whether torchvision's operator takes each map: exporters know it.

    Returns:
        Maps (B, D, h_i, w_i), but for ``whole`` in channels-last memory.
    """
    if whole:
        return [torchvision_deform_conv2d(x, g.offset, weight, bias, stride, 1, mask=g.mask)
                for x, g in zip(maps, geometries, strict=True)]
    if table is None:
        table = level_table(maps)
    kernel = weight.to(table.dtype).permute(2, 3, 1, 0).reshape(-1, len(weight))
    sizes = [tuple(x.shape[-2:]) for x in maps]
    if maps[0].is_cuda:
        out = deform_product(table, geometries, sizes, stride, kernel, bias.to(table.dtype))
    else:
        sampled, first = [], 0
        for (height, width), geometry in zip(sizes, geometries, strict=True):
            sampled.append(bilinear_rows(geometry, (height, width), stride, first))
            first += len(geometry.mask) * height * width
        rows, weights = (torch.cat(part) if len(part) > 1 else part[0] for part in zip(*sampled))
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
