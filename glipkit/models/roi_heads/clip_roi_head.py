"""The trained part of a CLIP R-CNN: one linear layer for boxes, and masks where wanted.

The head owns no tower: region features come from the backbone, whose last stage and pooling read
every region (RegionCLIP section 3.3). R regions of a batch, R_i of an image, K classes, D channels.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.models.task_modules.samplers import RandomSampler
from mmengine.structures import InstanceData
from torch import Tensor, nn

from glipkit.models.proposals.contract import plain_boxes
from glipkit.registry import MODELS


@dataclass(frozen=True)
class SampledRegions:
    """Regions of an image that train: those with a thing first.

    Attributes:
        boxes: (R_i, 4).
        labels: (R_i,) int64; -1 for background.
        targets: (P, 4) annotated boxes of the first P regions, which hold a thing.
        matched: (P,) int64, which annotation each of them has.
    """
    boxes: Tensor
    labels: Tensor
    targets: Tensor
    matched: Tensor


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
        self._coder = DeltaXYWHBBoxCoder(target_stds=(0.1, 0.1, 0.2, 0.2))
        self._assigner = MaxIoUAssigner(positive_iou, positive_iou, positive_iou,
                                        match_low_quality=False,
                                        iou_calculator=dict(type='mmdet.BboxOverlaps2D'))
        self._sampler = RandomSampler(num_samples, positive_fraction)

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        """``boxes``: the box layer and, where there is one, the mask head."""
        return dict(boxes=[self.bbox_pred] + ([self.mask_head] if self.mask_head else []))

    def sample(self, proposed: Tensor, truth: InstanceData) -> SampledRegions:
        """Draws regions from proposals and annotations, with torch's generator.

        Args:
            proposed: (N, 4); N may be 0.
            truth: ``bboxes`` (G, 4) and ``labels`` (G,); G may be 0. Annotated boxes are proposals
                too; those without an area, which no box can be moved to, are left out.
        """
        boxes = plain_boxes(truth).to(proposed)
        real = (boxes[:, 2:] > boxes[:, :2]).all(1).nonzero()[:, 0]
        boxes, labels = boxes[real], truth.labels.to(proposed.device)[real]
        priors = InstanceData(priors=proposed)
        plain = InstanceData(bboxes=boxes, labels=labels)
        drawn = self._sampler.sample(self._assigner.assign(priors, plain), priors, plain)
        background = labels.new_full((len(drawn.neg_priors), ), -1)
        return SampledRegions(torch.cat([drawn.pos_priors, drawn.neg_priors]),
                              torch.cat([drawn.pos_gt_labels.to(labels), background]),
                              boxes[drawn.pos_assigned_gt_inds],
                              real[drawn.pos_assigned_gt_inds])

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
        deltas = self.bbox_pred(features).float()
        holds = labels >= 0
        priors = torch.cat([one.boxes[:len(one.targets)] for one in regions])
        targets = self._coder.encode(priors, torch.cat([one.targets for one in regions]))
        loss_bbox = (deltas[holds] - targets).abs().sum() / max(len(labels), 1)
        return dict(loss_cls=self.loss_cls(logits, labels.where(holds, background)),
                    loss_bbox=loss_bbox)

    def decode(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Boxes (R, 4) moved by what the head sees in their features (R, D)."""
        return self._coder.decode(boxes, self.bbox_pred(features).float())
