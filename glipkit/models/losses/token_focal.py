"""Focal loss on region-token logits (GLIP section 3.1; Lin et al., ICCV 2017, equation (5))."""
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from glipkit.registry import MODELS


@MODELS.register_module()
class TokenFocalLoss(nn.Module):
    """Sigmoid focal loss summed over images, regions and real tokens.

    Args:
        alpha: Weight of positive entries; negatives get ``1 - alpha``.
        gamma: Focusing exponent.
        loss_weight: Factor on the result.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor, avg_factor: Tensor) -> Tensor:
        """Loss of one batch, in float32.

        Args:
            logits: Logits (B, R, T).
            targets: Targets (B, R, T), each 0 or 1.
            mask: Mask (B, T), True at real tokens; [CLS], [SEP] and separators count as negatives.
            avg_factor: Number of positive regions, a scalar.

        Returns:
            The loss, a scalar.
        """
        logits, targets = logits.float(), targets.float()
        prob = logits.sigmoid()
        error = prob + targets - 2 * prob * targets
        alpha = self.alpha * targets + (1 - self.alpha) * (1 - targets)
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction='none')
        loss = alpha * error**self.gamma * loss * mask[:, None]
        return self.loss_weight * loss.sum() / avg_factor
