"""CLIP's ResNets as the image side of a detector: three stages see the image, one each region.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
section 2.4: a stem of three convolutions, average pooling in place of every stride, and attention
pooling at the end. Parameter names are the official ones without ``visual.``.
Letters in shapes: B images, R regions, C channels, D channels of an embedding.
"""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torchvision.ops import roi_align

from glipkit.errors import UserError
from glipkit.models.backbones.attention_pool import AttentionPool
from glipkit.models.backbones.frozen_norm import FrozenBatchNorm, conv_norm
from glipkit.models.backbones.towers import freeze_groups
from glipkit.models.kernels.separable_roi_align import pool_regions, region_weights
from glipkit.registry import MODELS

#: Variant -> blocks per stage, width of the stem, channels of an embedding, heads of the pooling
#: and side of the images that CLIP was trained on.
VARIANTS = {
    'rn50': dict(layers=(3, 4, 6, 3), width=64, embed_dim=1024, heads=32, image_size=224),
    'rn101': dict(layers=(3, 4, 23, 3), width=64, embed_dim=512, heads=32, image_size=224),
    'rn50x4': dict(layers=(4, 6, 10, 6), width=80, embed_dim=640, heads=40, image_size=288),
}
EXPANSION = 4
REGIONS_AT_ONCE = 64


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution beside a skip; a stride is an average pool in both.

    Args:
        channels_in: Channels of the input.
        channels: Channels of the 3x3 convolution; the result has four times as many.
        stride: 1 or 2.
        norm: Class of the norms.
    """

    def __init__(self, channels_in: int, channels: int, stride: int,
                 norm: type[nn.Module]) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = norm(channels)
        self.conv3 = nn.Conv2d(channels, EXPANSION * channels, 1, bias=False)
        self.bn3 = norm(EXPANSION * channels)
        self.downsample = None
        if stride > 1 or channels_in != EXPANSION * channels:
            self.downsample = nn.Sequential(OrderedDict([
                ('-1', nn.AvgPool2d(stride)),
                ('0', nn.Conv2d(channels_in, EXPANSION * channels, 1, bias=False)),
                ('1', norm(EXPANSION * channels))]))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> (B, 4 * channels, H / stride, W / stride), rounded down."""
        out = F.relu(conv_norm(self.conv1, self.bn1, x), inplace=True)
        return self.merge(out, self.skip(x))

    def merge(self, out: Tensor, skip: Tensor) -> Tensor:
        """The block from after its first rectifier on, added to the skip."""
        out = F.relu(conv_norm(self.conv2, self.bn2, out), inplace=True)
        if self.stride > 1:
            out = F.avg_pool2d(out, self.stride)
        return F.relu(conv_norm(self.conv3, self.bn3, out) + skip, inplace=True)

    def skip(self, x: Tensor) -> Tensor:
        """The input in the shape of the result."""
        if self.downsample is None:
            return x
        pool, conv, norm = self.downsample
        return conv_norm(conv, norm, x if self.stride == 1 else pool(x))


@MODELS.register_module()
class ClipResNet(BaseModule):
    """A CLIP ResNet whose last stage and pooling read regions.

    Args:
        variant: ``'rn50'``, ``'rn101'`` or ``'rn50x4'``; gives the numbers that are None.
        layers: Blocks of each of the four stages.
        width: Channels after the stem.
        embed_dim: Channels D of an embedding.
        heads: Attention heads of the pooling.
        image_size: Side in pixels of the images that the pooling was trained on.
        frozen_stages: How many of stem, layer1, ..., layer4, attnpool do not train, from the stem.
        frozen_norm: Whether statistics and affine terms of all norms are fixed; False only to
            train from nothing.
        init_cfg: mmengine's config of initial weights.

    Attributes:
        stride: Image pixels per cell of the map.
        channels: Channels of each returned map.
        region_channels: Channels of a region's map.
        roi_size: Cells per side that a region is pooled to.

    Raises:
        UserError: An unknown variant, or a number of frozen stages beyond 0 to 6.
    """

    stride = 16
    #: See :mod:`glipkit.models.kernels.forms`.
    traceable = False

    def __init__(self, variant: str = 'rn50', layers: Sequence[int] | None = None,
                 width: int | None = None, embed_dim: int | None = None,
                 heads: int | None = None, image_size: int | None = None, frozen_stages: int = 2,
                 frozen_norm: bool = True, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if variant not in VARIANTS:
            raise UserError(f'a variant ({", ".join(VARIANTS)})', repr(variant),
                            'choose one of these and give the numbers that differ')
        numbers = dict(layers=layers, width=width, embed_dim=embed_dim, heads=heads,
                       image_size=image_size)
        numbers = VARIANTS[variant] | {k: v for k, v in numbers.items() if v is not None}
        width, side = numbers['width'], numbers['image_size']
        norm = FrozenBatchNorm if frozen_norm else nn.BatchNorm2d
        self.embed_dim: int = numbers['embed_dim']
        self.image_size: int = side
        self.roi_size: int = 2 * (side // 32)
        self.channels = [16 * width]
        self.region_channels = 32 * width
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = norm(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = norm(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = norm(width)
        before = width
        for i, count in enumerate(numbers['layers']):
            inner = width * 2**i
            blocks = [Bottleneck(before if j == 0 else EXPANSION * inner, inner,
                                 2 if i and j == 0 else 1, norm) for j in range(count)]
            before = EXPANSION * inner
            setattr(self, f'layer{i + 1}', nn.Sequential(*blocks))
        self.attnpool = AttentionPool(side // 32, 32 * width, numbers['heads'], self.embed_dim)
        self._freeze(frozen_stages)
        if not frozen_norm:
            self._start_as_identities()
        self.to(memory_format=torch.channels_last)

    def _freeze(self, count: int) -> None:
        freeze_groups(self.layer_groups(), count)
        self.frozen_stages = count

    def _start_as_identities(self) -> None:
        for module in self.modules():
            if isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)

    def train(self, mode: bool = True) -> ClipResNet:
        """Training or evaluation; norms of frozen stages keep their statistics in both."""
        super().train(mode)
        for group in self.layer_groups()[:self.frozen_stages]:
            group.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Images (B, 3, H, W) -> one map (B, 16 * width, h, w) of stride 16."""
        x = images.contiguous(memory_format=torch.channels_last)
        for number in (1, 2, 3):
            conv, norm = getattr(self, f'conv{number}'), getattr(self, f'bn{number}')
            x = F.relu(conv_norm(conv, norm, x), inplace=True)
        x = F.avg_pool2d(x, 2)
        return self.layer3(self.layer2(self.layer1(x))),

    def region_maps(self, pooled: Tensor) -> Tensor:
        """The last stage: (R, 16 * width, S, S) -> (R, 32 * width, S / 2, S / 2)."""
        return self.layer4(pooled)

    def pool_regions(self, maps: Tensor) -> Tensor:
        """Maps (R, 32 * width, h, w) of the last stage -> embeddings (R, D), not normalised."""
        return self.attnpool(maps)

    def embed_image(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> embeddings (B, D) as CLIP computes them, not normalised."""
        return self.pool_regions(self.region_maps(self(images)[0]))

    def region_features(self, res4: Tensor, boxes: Sequence[Tensor],
                        at_once: int = REGIONS_AT_ONCE) -> tuple[Tensor, Tensor]:
        """Maps and embeddings of regions; RoIAlign, last stage and pooling, some at a time.

        Args:
            res4: Map (B, 16 * width, h, w) from `forward`.
            boxes: For each image (N, 4), xyxy in pixels of the image that `forward` saw.
            at_once: Regions that are in memory at the same time.

        Returns:
            Maps (R, 32 * width, S / 2, S / 2) and embeddings (R, D), not normalised, R = sum of N;
            image by image, in the order of the boxes.
        """
        rois = torch.cat([torch.cat([one.new_full((one.shape[0], 1), i), one], 1)
                          for i, one in enumerate(boxes)]).to(res4)
        projected = self.project_map(res4) if self._may_project(res4) else None
        maps, features = [], []
        # An exporter cannot follow a loop whose length it does not know.
        parts = [rois] if self.traceable else rois.split(at_once)
        for part in parts:  # one empty part where there is no region
            maps.append(self.region_maps(self.pool_boxes(res4, part)) if projected is None
                        else self.region_maps_from_projected(res4, projected, part))
            features.append(self.pool_regions(maps[-1]))
        return torch.cat(maps), torch.cat(features)

    def pool_boxes(self, res4: Tensor, rois: Tensor) -> Tensor:
        """RoIAlign: map (B, C, h, w) and (R, 5), index of the image and box -> (R, C, S, S)."""
        return roi_align(res4, rois, self.roi_size, 1 / self.stride, sampling_ratio=0,
                         aligned=True)

    def _may_project(self, res4: Tensor) -> bool:
        """Whether the short way to the regions may be taken: without gradients, on a processor."""
        trains = torch.is_grad_enabled() and (
            res4.requires_grad or any(p.requires_grad for p in self.layer4.parameters()))
        return (not trains and not self.traceable and res4.device.type == 'cpu'
                and res4.dtype == torch.float32
                and not torch.is_autocast_enabled('cpu')
                and isinstance(self.layer4[0].bn1, FrozenBatchNorm))

    def project_map(self, res4: Tensor) -> Tensor:
        """The first convolution of the last stage on the whole map, without the norm's offset.

        RoIAlign is linear, so the convolution may come before it, where overlapping regions share
        its work. The offset comes after it, because RoIAlign reads zeros beyond the map.
        """
        block = self.layer4[0]
        scale, _ = block.bn1.affine()
        return F.conv2d(res4, block.conv1.weight * scale[:, None, None, None])

    def region_maps_from_projected(self, res4: Tensor, projected: Tensor, rois: Tensor) -> Tensor:
        """`region_maps` of `pool_boxes`, from the map of `project_map`.

        The skip needs the regions only after its average pool: at half the size.

        Args:
            res4: Map (B, C, h, w).
            projected: Map (B, C / 2, h, w).
            rois: (R, 5).

        Returns:
            Maps (R, 2 * C, S / 2, S / 2).
        """
        block = self.layer4[0]
        rows, columns = region_weights(rois, self.roi_size, 1 / self.stride, res4.shape[-2:])
        inner = pool_regions(projected, rois, rows, columns) + block.bn1.affine()[1][:, None, None]
        halves = [weights.unflatten(1, (-1, 2)).mean(2) for weights in (rows, columns)]
        _, conv, norm = block.downsample
        skip = conv_norm(conv, norm, pool_regions(res4, rois, *halves))
        return self.layer4[1:](block.merge(F.relu(inner, inplace=True), skip))

    def layer_groups(self) -> list[nn.Module]:
        """Stem, four stages and pooling."""
        stem = nn.ModuleList([self.conv1, self.bn1, self.conv2, self.bn2, self.conv3, self.bn3])
        return [stem, self.layer1, self.layer2, self.layer3, self.layer4, self.attnpool]
