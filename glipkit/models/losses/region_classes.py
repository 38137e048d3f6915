"""Classification losses of regions with a background class (RegionCLIP section 3.3).

R regions, K classes; the background is class K. Every region has a weight: ``background_weight``
for background, 1 for others.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glipkit.registry import MODELS


class _RegionClassLoss(nn.Module):
    """What both losses share.

    Args:
        background_weight: Weight of a background region.
    """

    def __init__(self, background_weight: float = 1.) -> None:
        super().__init__()
        self.background_weight = background_weight

    def _terms(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of its label, and weight, of each region: both (R,)."""
        log_p = F.log_softmax(logits.float(), dim=-1).gather(1, labels[:, None])[:, 0]
        weights = torch.where(labels == logits.shape[1] - 1, self.background_weight, 1.)
        return log_p, weights.to(log_p)


@MODELS.register_module()
class WeightedClassLoss(_RegionClassLoss):
    """Weighted cross-entropy, divided by the sum of the weights (the official LVIS recipe)."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of one batch, in float32.

        Args:
            logits: (R, K + 1), background last; R may be 0.
            labels: (R,) in 0..K.

        Returns:
            The loss, a scalar; 0 without regions.
        """
        log_p, weights = self._terms(logits, labels)
        return -(weights * log_p).sum() / weights.sum().clamp(min=torch.finfo(log_p.dtype).tiny)


@MODELS.register_module()
class FocalScaledClassLoss(_RegionClassLoss):
    """Cross-entropy of every region scaled by weight and ``(1 - p)^gamma``, mean over regions.

    The official COCO recipe (``FOCAL_SCALED_LOSS``). The paper scales base categories; as in the
    code, background regions are scaled too. With gamma 0 it is a weighted sum over the number
    of regions, not over the sum of the weights as in :class:`WeightedClassLoss`.

    Args:
        background_weight: Weight of a background region.
        gamma: Exponent; p is the probability of the region's own label.
    """

    def __init__(self, background_weight: float = 0.2, gamma: float = 0.5) -> None:
        super().__init__(background_weight)
        self.gamma = gamma

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """As :meth:`WeightedClassLoss.forward`."""
        log_p, weights = self._terms(logits, labels)
        # 1 - p without cancellation, and without an endless slope where p is 1.
        rest = (-torch.expm1(log_p)).clamp(min=1e-12)
        return -(weights * rest**self.gamma * log_p).sum() / max(len(log_p), 1)
