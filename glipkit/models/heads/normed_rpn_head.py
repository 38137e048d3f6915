"""mmdet's region proposal head with norms between its convolutions."""
from __future__ import annotations

from mmcv.cnn import ConvModule
from mmdet.models.dense_heads import RPNHead
from torch import nn

from glipkit.registry import MODELS


@MODELS.register_module()
class NormedRPNHead(RPNHead):
    """See :class:`mmdet.models.dense_heads.RPNHead`; F-ViT has it for LVIS.

    Args:
        norm_cfg: Config of the norm behind every convolution.
        **kwargs: Arguments of mmdet's head.
    """

    def __init__(self, norm_cfg: dict, **kwargs) -> None:
        self._norm_cfg = norm_cfg
        super().__init__(**kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        channels = [self.in_channels] + [self.feat_channels] * (self.num_convs - 1)
        self.rpn_conv = nn.Sequential(*(
            ConvModule(width, self.feat_channels, 3, padding=1, norm_cfg=self._norm_cfg,
                       inplace=False) for width in channels))
