"""Feature pyramid with DropBlock as in the official code (Lin et al., CVPR 2017)."""
from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmdet.models.necks import FPN
from timm.layers import DropBlock2d
from torch import Tensor

from glipkit.registry import MODELS


@MODELS.register_module()
class DropBlockFPN(FPN):
    """mmdet's FPN with DropBlock on its lower outputs in training.

    A dropped copy of the merged map goes into the output convolution; the whole map continues
    top-down. The highest backbone level and the extra levels are never dropped.

    Args:
        drop_prob: Probability of DropBlock; 0 turns it off.
        block_size: Side of a dropped block, in cells.
        **kwargs: Arguments of :class:`mmdet.models.necks.FPN`.
    """

    def __init__(self, drop_prob: float = 0.3, block_size: int = 3, **kwargs) -> None:
        super().__init__(add_extra_convs='on_output', relu_before_extra_convs=True, **kwargs)
        self.drop_block = DropBlock2d(drop_prob, block_size)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Backbone maps (B, C_i, H_i, W_i) -> ``num_outs`` maps (B, out_channels, H_i, W_i)."""
        merged = [conv(x) for conv, x in zip(self.lateral_convs, inputs, strict=True)]
        for i in range(len(merged) - 1, 0, -1):
            merged[i - 1] = merged[i - 1] + F.interpolate(
                merged[i], size=merged[i - 1].shape[-2:], mode='nearest')
        outputs = [
            conv(self.drop_block(x) if i + 1 < len(merged) else x)
            for i, (conv, x) in enumerate(zip(self.fpn_convs, merged))
        ]
        for i, conv in enumerate(self.fpn_convs[len(merged):]):
            # P6 reads P5 as it is, P7 reads the rectified P6.
            outputs.append(conv(outputs[-1] if i == 0 else F.relu(outputs[-1])))
        return tuple(outputs)
