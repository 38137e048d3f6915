"""Any feature extractor of timm as a detector's backbone."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn

from glipkit.registry import MODELS


@MODELS.register_module()
class TimmBackbone(nn.Module):
    """A timm model that returns the maps of some of its stages. Never downloads weights.

    Args:
        name: timm's model name, e.g. ``'resnet18'`` or ``'swin_tiny_patch4_window7_224'``.
        out_indices: Stages whose maps are returned, in timm's numbering.
        **kwargs: Further arguments of :func:`timm.create_model`.

    Attributes:
        channels: Channels of each returned map.
        strides: Input pixels per cell of each returned map.
    """

    def __init__(self, name: str, out_indices: Sequence[int], **kwargs: Any) -> None:
        super().__init__()
        self.model = timm.create_model(
            name, pretrained=False, features_only=True, out_indices=tuple(out_indices), **kwargs)
        # With it a ResNet's training step on a CPU takes a tenth less time.
        self.model.to(memory_format=torch.channels_last)
        self.channels: list[int] = self.model.feature_info.channels()
        self.strides: list[int] = self.model.feature_info.reduction()
        # timm's Swin returns (B, H, W, C).
        self._channels_last = getattr(self.model, 'output_fmt', 'NCHW') == 'NHWC'

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) -> maps (B, C_i, H_i, W_i), finest first."""
        maps = self.model(images.contiguous(memory_format=torch.channels_last))
        return tuple(m.permute(0, 3, 1, 2) if self._channels_last else m for m in maps)

    def layer_groups(self) -> list[nn.Module]:
        """The stem, then each stage.

        The stem is everything before the first map of a quarter of the resolution.
        """
        stages = {info['module'].replace('.', '_') for info in self.model.feature_info.info
                  if info['reduction'] >= 4}
        groups: list[list[nn.Module]] = [[]]
        for name, child in self.model.named_children():
            if name in stages:
                groups.append([])
            groups[-1].append(child)
        return [nn.ModuleList(group) for group in groups]
