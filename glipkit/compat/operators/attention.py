"""Multi-scale deformable attention (Zhu et al. 2021, eq. 3) by bilinear grid sampling."""
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from glipkit.compat.operators.precision import gradients, raised


def _attend(value: Tensor, locations: Tensor, weights: Tensor,
            shapes: list[tuple[int, int]]) -> Tensor:
    """Weighted sums of samples.

    Args:
        value: (B, sum of H * W over levels, heads, C).
        locations: (B, Q, heads, L, points, 2) as x, y in [0, 1] of each level.
        weights: (B, Q, heads, L, points).
        shapes: (H, W) of each level.

    Returns:
        (B, Q, heads * C).
    """
    batch, _, heads, channels = value.shape
    queries = locations.shape[1]
    # Grid sampling wants (images, C, H, W) and (images, Q, points, 2) in [-1, 1].
    maps = value.permute(0, 2, 3, 1).flatten(0, 1)
    grids = (2 * locations - 1).transpose(1, 2).flatten(0, 1)
    weights = weights.transpose(1, 2).flatten(0, 1)
    output = value.new_zeros(batch * heads, channels, queries)
    start = 0
    for level, (height, width) in enumerate(shapes):
        stop = start + height * width
        plane = maps[..., start:stop].unflatten(-1, (height, width))
        samples = F.grid_sample(plane, grids[:, :, level], mode='bilinear', padding_mode='zeros',
                                align_corners=False)
        output = output + (samples * weights[:, None, :, level]).sum(-1)
        start = stop
    return output.unflatten(0, (batch, heads)).permute(0, 3, 1, 2).flatten(2)


def _shapes(spatial_shapes: Tensor) -> list[tuple[int, int]]:
    return [(int(height), int(width)) for height, width in spatial_shapes.tolist()]


def ms_deform_attn_forward(value: Tensor, spatial_shapes: Tensor, level_start_index: Tensor,
                           sampling_loc: Tensor, attn_weight: Tensor,
                           im2col_step: int) -> Tensor:
    """The attention's output (B, Q, heads * C); shapes as in :func:`_attend`.

    The levels lie one after the other in ``value``, so their start follows from their shapes.
    """
    output = _attend(raised(value), raised(sampling_loc), raised(attn_weight),
                     _shapes(spatial_shapes))
    return output.to(value.dtype).contiguous()


def ms_deform_attn_backward(value: Tensor, spatial_shapes: Tensor, level_start_index: Tensor,
                            sampling_loc: Tensor, attn_weight: Tensor, grad_output: Tensor,
                            grad_value: Tensor, grad_sampling_loc: Tensor,
                            grad_attn_weight: Tensor, im2col_step: int) -> None:
    """Gradients of :func:`ms_deform_attn_forward`, added to their buffers."""
    shapes = _shapes(spatial_shapes)

    def attend(*inputs: Tensor) -> Tensor:
        return _attend(*inputs, shapes)

    grads = gradients(attend, [value, sampling_loc, attn_weight], grad_output)
    for buffer, grad in zip((grad_value, grad_sampling_loc, grad_attn_weight), grads):
        buffer.add_(grad)
