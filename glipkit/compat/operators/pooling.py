"""Pooling of regions of interest: RoIAlign by torchvision, RoIPool in torch.

``rois`` are (R, 5): index of the image in the batch, then xyxy in pixels of the input image.
"""
from __future__ import annotations

import torch
import torchvision
from torch import Tensor

from glipkit.compat.operators.missing import OperatorNotServed
from glipkit.compat.operators.precision import gradients, raised


def _roi_align(input: Tensor, rois: Tensor, size: tuple[int, int], spatial_scale: float,
               sampling_ratio: int, aligned: bool) -> Tensor:
    return torchvision.ops.roi_align(input, rois.to(input.dtype), size, spatial_scale,
                                     sampling_ratio, aligned)


def roi_align_forward(input: Tensor, rois: Tensor, output: Tensor, argmax_y: Tensor,
                      argmax_x: Tensor, aligned_height: int, aligned_width: int,
                      spatial_scale: float, sampling_ratio: int, pool_mode: int,
                      aligned: bool) -> None:
    """RoIAlign (He et al. 2017) with average pooling (``pool_mode`` 1).

    Args:
        input: (B, C, H, W) feature map.
        rois: (R, 5).
        output: (R, C, aligned_height, aligned_width), overwritten.
        argmax_y: Not used by average pooling.
        argmax_x: Not used by average pooling.
        spatial_scale: Size of the feature map over that of the image.
        sampling_ratio: Samples per bin and direction; 0 for as many as the bin has pixels.
        aligned: Whether pixel centres lie at half coordinates.

    Raises:
        OperatorNotServed: For maximum pooling.
    """
    if pool_mode != 1:
        raise OperatorNotServed("roi_align with pool_mode='max'")
    output.copy_(_roi_align(raised(input), rois, (aligned_height, aligned_width), spatial_scale,
                            sampling_ratio, aligned))


def roi_align_backward(grad_output: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor,
                       grad_input: Tensor, aligned_height: int, aligned_width: int,
                       spatial_scale: float, sampling_ratio: int, pool_mode: int,
                       aligned: bool) -> None:
    """Gradient of :func:`roi_align_forward`, added to ``grad_input``."""
    if pool_mode != 1:
        raise OperatorNotServed("roi_align with pool_mode='max'")

    def pool(x: Tensor) -> Tensor:
        return _roi_align(x, rois, (aligned_height, aligned_width), spatial_scale, sampling_ratio,
                          aligned)

    # The operator is linear: its gradient is the same at every input, hence also at zero.
    grad, = gradients(pool, [torch.zeros_like(grad_input)], grad_output)
    grad_input.add_(grad)


def _bins(start: float, stop: float, count: int, limit: int) -> list[tuple[int, int]]:
    """The pixel ranges of ``count`` bins between two coordinates, clipped to ``limit`` pixels."""
    edges = torch.arange(count + 1, dtype=torch.float64) * ((stop - start) / count) + start
    low = edges[:-1].floor().clamp(0, limit).long().tolist()
    high = edges[1:].ceil().clamp(0, limit).long().tolist()
    return list(zip(low, high))


def _roi_max(plane: Tensor, corners: list[float], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Maxima and their flat positions in one region.

    The maximum over a rectangle is the maximum over its rows of the maxima over its columns, so
    the work grows with the sides of the bin grid and not with its area.

    Args:
        plane: (C, H, W) feature map.
        corners: x1, y1, x2, y2 of the region in pixels of the map, exclusive right and bottom.
        size: Bins in height and width.

    Returns:
        Maxima (C, *size), 0 in empty bins; positions y * W + x (C, *size), -1 in empty bins.
    """
    channels, height, width = plane.shape
    values = plane.new_zeros(channels, *size)
    places = torch.full(values.shape, -1, dtype=torch.long, device=plane.device)
    x1, y1, x2, y2 = corners
    if x2 <= x1 or y2 <= y1:
        return values, places
    rows = _bins(y1, y2, size[0], height)
    for j, (left, right) in enumerate(_bins(x1, x2, size[1], width)):
        if left >= right:
            continue
        across, column = plane[:, :, left:right].max(-1)
        for i, (top, bottom) in enumerate(rows):
            if top >= bottom:
                continue
            value, row = across[:, top:bottom].max(-1)
            row = row + top
            values[:, i, j] = value
            places[:, i, j] = row * width + column.gather(1, row[:, None])[:, 0] + left
    return values, places


def roi_pool_forward(input: Tensor, rois: Tensor, output: Tensor, argmax: Tensor,
                     pooled_height: int, pooled_width: int, spatial_scale: float) -> None:
    """RoIPool (Girshick 2015) as mmcv defines it: unrounded corners, inclusive right and bottom.

    torchvision's operator rounds the corners first and gives other numbers.

    Args:
        input: (B, C, H, W) feature map.
        rois: (R, 5).
        output: (R, C, pooled_height, pooled_width), overwritten with maxima (0 in empty bins).
        argmax: The same shape, overwritten with positions y * W + x (-1 in empty bins).
        spatial_scale: Size of the feature map over that of the image.
    """
    corners = rois[:, 1:].double()
    corners = torch.cat([corners[:, :2], corners[:, 2:] + 1], 1) * spatial_scale
    for i, (image, region) in enumerate(zip(rois[:, 0].long().tolist(), corners.tolist())):
        values, places = _roi_max(input[image], region, (pooled_height, pooled_width))
        output[i] = values
        argmax[i] = places.to(argmax.dtype)


def roi_pool_backward(grad_output: Tensor, rois: Tensor, argmax: Tensor, grad_input: Tensor,
                      pooled_height: int, pooled_width: int, spatial_scale: float) -> None:
    """Sends each gradient to the position of its maximum; added to ``grad_input``."""
    batch, channels, height, width = grad_input.shape
    planes = raised(grad_input).new_zeros(batch * channels, height * width)
    plane = rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)
    plane = plane[:, :, None, None].expand_as(argmax)
    real = argmax >= 0
    planes.index_put_((plane[real], argmax[real].long()), grad_output[real].to(planes.dtype),
                      accumulate=True)
    grad_input.add_(planes.view_as(grad_input))
