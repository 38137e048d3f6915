"""Modulated deformable convolution (Zhu et al., CVPR 2019, equation (1)), 3x3, padding 1.

On CUDA torchvision's kernel; elsewhere rows of a channels-last table are gathered with their four
bilinear weights and multiplied once, which is several times faster than torchvision's CPU code.
B images, C channels in, D out, (H, W) input and (h, w) output size.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import deform_conv2d as torchvision_deform_conv2d

TAPS = 9


def deform_conv2d(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor,
                  stride: int) -> Tensor:
    """Convolve at shifted and weighted positions.

    Args:
        x: (B, C, H, W).
        offset: (B, 18, h, w), per tap the shift (y, x) in input pixels.
        mask: (B, 9, h, w), weight of each tap.
        weight: (D, C, 3, 3).
        bias: (D,).
        stride: Of the output grid.

    Returns:
        (B, D, h, w).
    """
    if x.is_cuda:
        return torchvision_deform_conv2d(x, offset, weight, bias, stride, padding=1, mask=mask)
    batch, _, height, width = x.shape
    rows, weights = bilinear_rows(offset, mask, (height, width), stride)
    table = x.permute(0, 2, 3, 1).reshape(batch * height * width, -1)
    columns = F.embedding_bag(rows, table, per_sample_weights=weights, mode='sum')
    columns = columns.view(-1, TAPS * x.size(1))
    kernel = weight.permute(2, 3, 1, 0).reshape(columns.size(1), -1)
    out = torch.addmm(bias, columns, kernel)
    return out.view(batch, *offset.shape[-2:], -1).permute(0, 3, 1, 2)


def bilinear_rows(offset: Tensor, mask: Tensor, size: tuple[int, int],
                  stride: int) -> tuple[Tensor, Tensor]:
    """The four neighbours of every sampling position.

    Args:
        offset: (B, 18, h, w).
        mask: (B, 9, h, w).
        size: (H, W) of the input.
        stride: Of the output grid.

    Returns:
        Rows of the (B*H*W, C) table and their weights, both (B*h*w*9, 4). A neighbour outside
        the image has weight 0.
    """
    height, width = size
    batch, _, h, w = offset.shape
    shift = offset.view(batch, TAPS, 2, h, w).permute(0, 3, 4, 1, 2)
    tap = torch.arange(TAPS, device=offset.device)
    row = torch.arange(h, device=offset.device)[:, None, None] * stride + tap // 3 - 1
    col = torch.arange(w, device=offset.device)[:, None] * stride + tap % 3 - 1
    y, x = shift[..., 0] + row, shift[..., 1] + col
    top, left = y.detach().floor(), x.detach().floor()
    down, right = y - top, x - left
    corner_y = torch.stack([top, top, top + 1, top + 1], dim=-1).long()
    corner_x = torch.stack([left, left + 1, left, left + 1], dim=-1).long()
    weights = torch.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right),
                           down * right], dim=-1)
    inside = ((corner_y >= 0) & (corner_y < height) & (corner_x >= 0) & (corner_x < width))
    weights = weights * mask.permute(0, 2, 3, 1)[..., None] * inside
    rows = corner_y.clamp(0, height - 1) * width + corner_x.clamp(0, width - 1)
    image = torch.arange(batch, device=offset.device) * (height * width)
    rows = rows + image.view(-1, 1, 1, 1, 1)
    return rows.view(-1, 4), weights.reshape(-1, 4)
