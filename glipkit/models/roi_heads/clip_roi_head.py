"""The trained part of a CLIP R-CNN: one linear layer for boxes, and masks where wanted.

The head owns no tower: region features come from the backbone, whose last stage and pooling read
every region (RegionCLIP section 3.3). R regions of a batch, R_i of an image, K classes, D channels.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from glipkit.models.roi_heads.box_deltas import box_loss, move
from glipkit.models.roi_heads.sampling import RegionSampler, SampledRegions
from glipkit.registry import MODELS


@MODELS.register_module()
class ClipRoIHead(nn.Module):
    """Sampling of regions, their losses, and the boxes and masks that the head predicts.

    Args:
        embed_dim: Channels D of a region feature.
        loss_cls: Config of the classification loss, see
            :mod:`glipkit.models.losses.region_classes`.
        mask_head: Config of :class:`~.clip_mask_head.ClipMaskHead`; None for boxes only.
        num_samples: Regions of an image that train, at most.
        positive_fraction: Largest part of them that hold a thing.
        positive_iou: Overlap with an annotation from which a region holds it.

    Attributes:
        sample: Draws regions that train, see :class:`~.sampling.RegionSampler`.
    """

    def __init__(self, embed_dim: int = 1024, loss_cls: dict | None = None,
                 mask_head: dict | None = None, num_samples: int = 512,
                 positive_fraction: float = 0.25, positive_iou: float = 0.5) -> None:
        super().__init__()
        self.bbox_pred = nn.Linear(embed_dim, 4)
        # The official weights begin at N(0, 0.001). From zero, a head that was not trained moves no
        # box, so that prediction need not know whether it was.
        nn.init.zeros_(self.bbox_pred.weight)
        nn.init.zeros_(self.bbox_pred.bias)
        self.mask_head = None if mask_head is None else MODELS.build(mask_head)
        self.loss_cls = MODELS.build(loss_cls or dict(type='glipkit.WeightedClassLoss'))
        self.sample = RegionSampler(num_samples, positive_fraction, positive_iou)

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        """``boxes``: the box layer and, where there is one, the mask head."""
        return dict(boxes=[self.bbox_pred] + ([self.mask_head] if self.mask_head else []))

    def losses(self, regions: Sequence[SampledRegions], logits: Tensor,
               features: Tensor) -> dict[str, Tensor]:
        """Losses of classes and boxes of a batch.

        Args:
            regions: Regions of each image.
            logits: (R, K + 1), background last.
            features: (R, D).

        Returns:
            loss_cls, and loss_bbox: L1 over regions with a thing, over the number of all.
        """
        labels = torch.cat([one.labels for one in regions])
        background = logits.shape[1] - 1
        return dict(loss_cls=self.loss_cls(logits, labels.where(labels >= 0, background)),
                    loss_bbox=box_loss(regions, self.bbox_pred(features)))

    def decode(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Boxes (R, 4) moved by what the head sees in their features (R, D)."""
        return move(boxes, self.bbox_pred(features))
