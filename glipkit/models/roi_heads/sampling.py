"""Which regions of an image train a head, and what each of them holds.

G annotations, R_i regions of an image, P of them with a thing.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmdet.models.task_modules.samplers import RandomSampler
from mmengine.structures import InstanceData
from torch import Tensor

from glipkit.models.proposals.contract import plain_boxes


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


class RegionSampler:
    """Draws regions of an image, with torch's generator.

    Args:
        num_samples: Regions of an image that train, at most.
        positive_fraction: Largest part of them that hold a thing.
        positive_iou: Overlap with an annotation from which a region holds it.
        match_low_quality: Whether an annotation that no region overlaps so much gets the one
            nearest to it, from that overlap on.
    """

    def __init__(self, num_samples: int = 512, positive_fraction: float = 0.25,
                 positive_iou: float = 0.5, match_low_quality: bool = False) -> None:
        self._assigner = MaxIoUAssigner(positive_iou, positive_iou, positive_iou,
                                        match_low_quality=match_low_quality,
                                        iou_calculator=dict(type='mmdet.BboxOverlaps2D'))
        self._sampler = RandomSampler(num_samples, positive_fraction)

    def __call__(self, proposed: Tensor, truth: InstanceData) -> SampledRegions:
        """Draws regions from proposals and annotations.

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
