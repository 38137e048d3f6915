"""A box head whose class scores are cosines with the embeddings of words.

Wu et al., "CLIPSelf", ICLR 2024, F-ViT. R regions, C channels, D of an embedding, K labels.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead
from torch import Tensor, nn

from glipkit.models.alignment.cosine import cosine_logits
from glipkit.registry import MODELS

_STARTS = [dict(type='Normal', std=0.001, override=dict(name='fc_reg')),
           dict(type='Xavier', distribution='uniform', override=[
               dict(name='shared_fcs'), dict(name='cls_fcs'), dict(name='reg_fcs')])]


@MODELS.register_module()
class TextBoxHead(ConvFCBBoxHead):
    """mmdet's convolutions and layers, shared and apart, without its layer of classes.

    Args:
        in_channels: Channels C.
        embed_dim: Channels D.
        num_convs: Shared convolutions.
        side: Cells per side of a region's map.
        norm_cfg: Config of the norm behind each convolution.
        temperature: Initial factor of the cosines; it trains.
    """

    def __init__(self, in_channels: int = 256, embed_dim: int = 512, num_convs: int = 4,
                 side: int = 7, norm_cfg: dict | None = None, temperature: float = 50.) -> None:
        super().__init__(
            num_shared_convs=num_convs, num_shared_fcs=2, num_cls_fcs=1, num_reg_fcs=1,
            in_channels=in_channels, conv_out_channels=in_channels, fc_out_channels=embed_dim,
            roi_feat_size=side, norm_cfg=norm_cfg or dict(type='BN'), num_classes=1,
            reg_class_agnostic=True, bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder'),
            loss_cls=dict(type='mmdet.CrossEntropyLoss'), loss_bbox=dict(type='mmdet.L1Loss'),
            cls_predictor_cfg=dict(type='mmdet.Linear'),
            reg_predictor_cfg=dict(type='mmdet.Linear'), init_cfg=_STARTS)
        del self.fc_cls  # the official one has it, and never uses it
        self.detect_temperature = nn.Parameter(torch.tensor(temperature))

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of regions (R, C, side, side) -> embeddings (R, D) and box deltas (R, 4).

        Embeddings are not negative: the official ones pass a ReLU.
        """
        for conv in self.shared_convs:
            maps = conv(maps)
        shared = maps.flatten(1)
        for layer in self.shared_fcs:
            shared = F.relu(layer(shared))
        return F.relu(self.cls_fcs[0](shared)), self.fc_reg(F.relu(self.reg_fcs[0](shared)))

    def logits(self, embeddings: Tensor, matrix: Tensor,
               temperature: float | None = None) -> Tensor:
        """Cosines times a factor, the trained one by default.

        Args:
            embeddings: (R, D).
            matrix: Embeddings of words (K, D).
            temperature: Another factor.

        Returns:
            (R, K).
        """
        factor = self.detect_temperature if temperature is None else temperature
        return factor * cosine_logits(embeddings, matrix, 1., background=False)
