"""One mask per region, whatever its class.

He et al., "Mask R-CNN", ICCV 2017, without its convolutions, as RegionCLIP's LVIS detectors have
it. R regions, C channels, S cells per side of a region's map.
"""
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from glipkit.registry import MODELS


@MODELS.register_module()
class ClipMaskHead(nn.Module):
    """A twofold deconvolution and a 1 x 1 convolution on the map of the tower's last stage.

    Args:
        in_channels: Channels C of the map: 2048 for RN50, 2560 for RN50x4.
        channels: Channels in between: 256 for RN50, 320 for RN50x4.
    """

    def __init__(self, in_channels: int = 2048, channels: int = 256) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(in_channels, channels, 2, stride=2)
        self.predictor = nn.Conv2d(channels, 1, 1)
        nn.init.kaiming_normal_(self.deconv.weight, mode='fan_out', nonlinearity='relu')
        nn.init.normal_(self.predictor.weight, std=0.001)
        nn.init.zeros_(self.deconv.bias)
        nn.init.zeros_(self.predictor.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (R, C, S, S) -> logits (R, 2S, 2S)."""
        return self.predictor(F.relu(self.deconv(maps)))[:, 0]
