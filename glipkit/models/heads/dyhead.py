"""DyHead block: scale, spatial and task attention in one convolution (Dai et al., CVPR 2021).

Follows the official code to the number, with the way its deformable convolution reads offsets.
"""
from __future__ import annotations

from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glipkit.models.heads.deform_conv import deform_conv2d
from glipkit.registry import MODELS


class DeformConvNorm(nn.Module):
    """Modulated deformable 3x3 convolution and group normalisation.

    Offsets and masks may belong to a finer map than the input: like the official kernel, which
    never looks at their shape, the flat buffer of a sample is read as if it had the output's size.
    Always computed in float32.
    """

    def __init__(self, channels: int, stride: int, num_groups: int) -> None:
        super().__init__()
        # Conv2d's default initialisation is the official one: uniform +-1/sqrt(fan-in), but the
        # bias starts at zero there.
        self.conv = nn.Conv2d(channels, channels, 3, stride=stride, padding=1)
        nn.init.zeros_(self.conv.bias)
        self.norm = nn.GroupNorm(num_groups, channels)

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        """x (B, C, H, W), offset (B, 18, h, w), mask (B, 9, h, w) -> (B, C, H/stride, W/stride)."""
        stride = self.conv.stride[0]
        size = tuple((s - 1) // stride + 1 for s in x.shape[-2:])
        with torch.autocast(x.device.type, enabled=False):
            x = deform_conv2d(x.float(), read_flat(offset.float(), size),
                              read_flat(mask.float(), size), self.conv.weight, self.conv.bias,
                              stride)
        return self.norm(x)


def read_flat(buffer: Tensor, size: tuple[int, int]) -> Tensor:
    """View the head of each sample's (C, h, w) buffer as (C, *size); a no-op at equal sizes."""
    if tuple(buffer.shape[-2:]) == tuple(size):
        return buffer
    channels = buffer.size(1)
    count = channels * size[0] * size[1]
    return buffer.flatten(1)[:, :count].unflatten(1, (channels, *size))


class DyReLU(nn.Module):
    """DyReLU-B: a two-piece activation whose slopes depend on the pooled input.

    Args:
        channels: C.
        reduction: Squeeze ratio of the two-layer perceptron.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction), nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, 4 * channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        theta = F.hardsigmoid(self.fc(x.mean(dim=(2, 3)))) - 0.5
        a1, b1, a2, b2 = theta[:, :, None, None].chunk(4, dim=1)
        return torch.maximum((2 * a1 + 1) * x + b1, 2 * a2 * x + b2)


@MODELS.register_module()
class DyConv(nn.Module):
    """One DyHead block over all levels with shared weights.

    Each level is the mean of up to three deformable convolutions - of itself, of the next finer
    level (stride 2) and of the next coarser one (upsampled) - weighted by scale attention, and
    goes through DyReLU.

    Args:
        channels: C of every level.
        num_groups: Groups of the normalisation.
    """

    def __init__(self, channels: int = 256, num_groups: int = 16) -> None:
        super().__init__()
        # In this order in official files: coarser, same, finer.
        self.convs = nn.ModuleList(
            DeformConvNorm(channels, stride, num_groups) for stride in (1, 1, 2))
        self.offset = nn.Conv2d(channels, 27, 3, padding=1)
        self.scale_attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, 1, 1), nn.ReLU(inplace=True))
        nn.init.normal_(self.scale_attention[1].weight, std=0.01)
        nn.init.zeros_(self.scale_attention[1].bias)
        self.task_attention = DyReLU(channels)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Maps (B, C, H_i, W_i), finest first -> maps of the same shapes."""
        return [self._level(levels, i) for i in range(len(levels))]

    def _level(self, levels: Sequence[Tensor], i: int) -> Tensor:
        geometry = self.offset(levels[i])
        offset, mask = geometry[:, :18], geometry[:, 18:].sigmoid()
        branches = [self.convs[1](levels[i], offset, mask)]
        if i > 0:
            branches.append(self.convs[2](levels[i - 1], offset, mask))
        if i + 1 < len(levels):
            coarser = self.convs[0](levels[i + 1], offset, mask)
            branches.append(
                F.interpolate(
                    coarser, size=levels[i].shape[-2:], mode='bilinear', align_corners=True))
        weights = [F.hardsigmoid(self.scale_attention(branch)) for branch in branches]
        mean = sum(b * w for b, w in zip(branches, weights)) / len(branches)
        return self.task_attention(mean)
