"""A pyramid whose levels carry what their cells mean."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glipkit.models.necks.fpn import DropBlockFPN
from glipkit.registry import MODELS


@MODELS.register_module()
class SemanticFPN(DropBlockFPN):
    """A feature pyramid over the maps of :class:`SemanticBackbone`.

    The meanings join the last map on its way in. What a linear layer reads from that map is added
    to a copy of them (nothing at first), which so learns the words of the training. Both are
    appended to every level that comes out, resized to it, for a head that compares them with words
    directly: the copy knows what was trained best, the original what was not.

    Args:
        semantic_channels: Channels D of the meanings.
        in_channels: Channels of the maps without the meanings.
        **kwargs: Arguments of :class:`DropBlockFPN`.
    """

    def __init__(self, semantic_channels: int, in_channels: Sequence[int], **kwargs) -> None:
        *first, last = in_channels
        super().__init__(in_channels=[*first, last + semantic_channels], **kwargs)
        self.refine = nn.Conv2d(last, semantic_channels, 1)
        self._begin_with_nothing()

    def init_weights(self) -> None:
        """As of any pyramid, but for the layer that begins with nothing."""
        super().init_weights()
        self._begin_with_nothing()

    def _begin_with_nothing(self) -> None:
        nn.init.zeros_(self.refine.weight)
        nn.init.zeros_(self.refine.bias)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps and meanings (B, D, H_n, W_n) -> levels (B, out_channels + 2 * D, H_i, W_i)."""
        *maps, last, meanings = inputs
        learned = F.normalize(meanings + self.refine(last), dim=1)
        levels = super().forward([*maps, torch.cat([last, learned], 1)])
        return tuple(
            torch.cat([level, *(_resized(m, level.shape[-2:]) for m in (learned, meanings))], 1)
            for level in levels)


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Meanings (B, D, H, W) in another size, of unit length again."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    if size[0] > maps.shape[-2]:
        maps = F.interpolate(maps, size=size, mode='bilinear')
    else:
        maps = F.adaptive_avg_pool2d(maps, size)
    return F.normalize(maps, dim=1)
