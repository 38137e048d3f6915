"""DyHead block: scale, spatial and task attention in one convolution (Dai et al., CVPR 2021).

Gives the same numbers as the official code, whose deformable convolution reads offsets in a special
way: see :class:`DeformConvNorm`.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from glipkit.models.kernels.deform_conv import deform_conv2d, level_table
from glipkit.models.kernels.sampling import TAPS, Geometry
from glipkit.models.kernels.strips import in_strips
from glipkit.registry import MODELS


class DeformConvNorm(nn.Module):
    """Modulated deformable 3x3 convolution and group normalisation.

    Offsets and masks may belong to a finer map than the input. The official kernel does not check
    their shape: it reads the flat buffer of a sample as if it had the output's size. So does this.
    """

    #: See :mod:`glipkit.models.kernels.forms`.
    traceable = False

    def __init__(self, channels: int, stride: int, num_groups: int) -> None:
        super().__init__()
        # Conv2d's default initialisation is the official one: uniform +-1/sqrt(fan-in), but the
        # bias starts at zero there.
        self.conv = nn.Conv2d(channels, channels, 3, stride=stride, padding=1)
        nn.init.zeros_(self.conv.bias)
        self.norm = nn.GroupNorm(num_groups, channels)

    def forward(self, maps: Sequence[Tensor], table: Tensor | None,
                geometries: Sequence[Geometry]) -> list[Tensor]:
        """Maps (B, C, H_i, W_i), each with its geometry -> their convolutions.

        Sizes are (ceil(H_i / stride), ceil(W_i / stride)); for ``table``
        see :func:`deform_conv2d`. :class:`DyConv` applies the normalisation and need not store it.
        """
        stride = self.conv.stride[0]
        sizes = [tuple((s - 1) // stride + 1 for s in x.shape[-2:]) for x in maps]
        geometries = [Geometry(read_flat(g.offset, size), read_flat(g.mask, size))
                      for g, size in zip(geometries, sizes, strict=True)]
        return deform_conv2d(maps, table, geometries, self.conv.weight, self.conv.bias, stride,
                             whole=self.traceable)


def read_flat(buffer: Tensor, size: tuple[int, int]) -> Tensor:
    """View the beginning of each sample's (C, h, w) buffer as (C, *size)."""
    if tuple(buffer.shape[-2:]) == tuple(size):
        return buffer
    channels = buffer.size(1)
    count = channels * size[0] * size[1]
    return buffer.flatten(1)[:, :count].unflatten(1, (channels, *size))


class DyReLU(nn.Module):
    """DyReLU-B: a two-piece activation whose slopes depend on the pooled input.

    Args:
        channels: Number of channels C.
        reduction: Squeeze ratio of the two-layer perceptron.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction), nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, 4 * channels))

    def coefficients(self, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean of a map over all positions (B, C) -> two slopes and shifts, each (B, C, 1, 1)."""
        theta = F.hardsigmoid(self.fc(pooled)) - 0.5
        a1, b1, a2, b2 = theta[:, :, None, None].chunk(4, dim=1)
        return 2 * a1 + 1, b1, 2 * a2, b2


@MODELS.register_module()
class DyConv(nn.Module):
    """One DyHead block over all levels with shared weights.

    Each level is the mean of up to three deformable convolutions - of itself, of the next finer
    level (stride 2) and of the next coarser one (upsampled) - weighted by scale attention, and
    goes through DyReLU.

    Args:
        channels: Number of channels C of every level.
        num_groups: Groups of the normalisation.
    """

    #: See :mod:`glipkit.models.kernels.forms`.
    traceable = False

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
        geometries = [self._geometry(level) for level in levels]
        table, bounds = None, None
        if not self.traceable:
            table = level_table(levels)
            bounds = table.size(0) - levels[-1][:, 0].numel(), levels[0][:, 0].numel()
        coarser, same, finer = self.convs
        same_maps = same(levels, table, geometries)
        finer_maps, coarser_maps = [None], [None]
        if len(levels) > 1:
            below, above = (None, None) if table is None else (table[:bounds[0]], table[bounds[1]:])
            finer_maps = [None, *finer(levels[:-1], below, geometries[1:])]
            coarser_maps = [*coarser(levels[1:], above, geometries[:-1]), None]
        branches = zip(same_maps, finer_maps, coarser_maps)
        if self.training and torch.is_grad_enabled():
            # Cheap to compute again, and a third of what a block would store.
            return [checkpoint(self._merge, *maps, use_reentrant=False) for maps in branches]
        return [self._merge(*maps) for maps in branches]

    def _geometry(self, level: Tensor) -> Geometry:
        geometry = self.offset(level).to(torch.promote_types(level.dtype, torch.float32))
        if level.is_cuda:  # what reads it, reads each image's in one piece
            geometry = geometry.contiguous()
        return Geometry(geometry[:, :2 * TAPS], geometry[:, 2 * TAPS:].sigmoid())

    def _merge(self, same: Tensor, finer: Tensor | None, coarser: Tensor | None) -> Tensor:
        """Convolutions of one level (B, C, H, W), ``coarser`` in its own size -> the output."""
        branches = [self.convs[1].norm(same)]
        if finer is not None:
            branches.append(self.convs[2].norm(finer))
        if coarser is not None:
            branches.append(F.interpolate(self.convs[0].norm(coarser), size=same.shape[-2:],
                                          mode='bilinear', align_corners=True))
        pools = [_mean(branch) for branch in branches]
        # The first layer of the scale attention is the pooling, which DyReLU needs as well.
        weights = [F.hardsigmoid(self.scale_attention[1:](pool)) / len(branches)
                   for pool in pools]
        pooled = sum(pool * weight for pool, weight in zip(pools, weights))
        factors = [factor.to(same.dtype) for factor in (
            *weights, *self.task_attention.coefficients(pooled.flatten(1)))]
        return in_strips(lambda *maps: _mix(maps, *factors), branches)


def _mean(x: Tensor) -> Tensor:
    """Mean of a map over its positions, (B, C, 1, 1)."""
    if x.dtype != torch.bfloat16:  # a sum might leave the range of float16
        return x.mean(dim=(2, 3), keepdim=True)
    # PyTorch's mean would copy the map to float32 first; its sum adds up in float32 as well.
    return x.sum(dim=(2, 3), keepdim=True) / x[0, 0].numel()


def _mix(maps: Sequence[Tensor], *factors: Tensor) -> Tensor:
    """Weighted sum of maps (B, C, H, W), through the larger of two lines of each channel."""
    *weights, slope, shift, other_slope, other_shift = factors
    mean = maps[0] * weights[0]
    for branch, weight in zip(maps[1:], weights[1:]):
        mean = torch.addcmul(mean, branch, weight)
    return torch.maximum(torch.addcmul(shift, mean, slope),
                         torch.addcmul(other_shift, mean, other_slope))
