"""Maps of one scale as the levels of a pyramid, for a feature pyramid network above them.

Wu et al., "CLIPSelf", ICLR 2024, F-ViT; the same scales as Li et al., "Exploring Plain Vision
Transformer Backbones for Object Detection", ECCV 2022. B images, C channels.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from glipkit.errors import UserError
from glipkit.registry import MODELS


@MODELS.register_module()
class ViTPyramid(nn.Module):
    """Four maps of stride s -> maps of strides s/4, s/2, s and 2s. Names are F-ViT's.

    Args:
        width: Channels C of each map.
        norm_cfg: Config of the norm between the two upscalings of the first map.
    """

    def __init__(self, width: int, norm_cfg: dict | None = None) -> None:
        super().__init__()
        self.interpolate1 = nn.Sequential(
            nn.ConvTranspose2d(width, width, 2, stride=2),
            build_norm_layer(norm_cfg or dict(type='BN'), width)[1], nn.GELU(),
            nn.ConvTranspose2d(width, width, 2, stride=2))
        self.interpolate2 = nn.Sequential(nn.ConvTranspose2d(width, width, 2, stride=2))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Four maps (B, C, h, w) -> (B, C, 4h, 4w), (B, C, 2h, 2w), (B, C, h, w), and
        (B, C, h/2, w/2), rounded down.

        Raises:
            UserError: Another number of maps, or maps of a single cell.
        """
        if len(maps) != 4:
            raise UserError('four maps', str(len(maps)), 'name four layers of the tower as taps')
        if min(maps[3].shape[-2:]) < 2:
            raise UserError('images of at least two patches per side',
                            f'{maps[3].shape[-2]} x {maps[3].shape[-1]} patches',
                            'enlarge the image')
        first, second, third, fourth = maps
        return [self.interpolate1(first), self.interpolate2(second), third,
                F.max_pool2d(fourth, 2)]
