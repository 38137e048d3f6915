"""From class probabilities of regions to detections, in the order of the official code.

The tensors of one image: N regions, K classes.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from mmengine.structures import InstanceData
from torch import Tensor
from torchvision.ops import batched_nms

from glipkit.errors import UserError
from glipkit.models.alignment.score_fusion import Fusion, check_fusion, fuse_scores
from glipkit.models.roi_heads.soft_nms import batched_soft_nms


@dataclass(frozen=True)
class RegionSettings:
    """Settings of prediction.

    Attributes:
        score_threshold: Scores at or below it are dropped.
        nms_iou: Overlap above which the weaker box of a class is removed.
        max_per_image: Number of detections kept.
        regress_boxes: Whether the box head moves the boxes. One that was not trained moves none;
            the official zero-shot option ``NO_BOX_DELTA`` leaves it out.
        fusion: How the score of a box enters, see :func:`~glipkit.models.alignment.score_fusion
            .fuse_scores`: ``'none'``; ``'raw'`` as in the published results; ``'sigmoid'``, with
            scores from 0 to 1, for use.
        report: ``'fused'`` reports the scores that boxes are ranked with, ``'class'`` the
            probability of the class in the same order (official option ``VIS``). With ``soft_nms``
            the ranking scores are reported in both cases, as in the official code.
        soft_nms: Whether overlapping boxes lose score instead of being removed (Gaussian).
        soft_nms_sigma: Width of its decay.
        soft_nms_prune: Score at or below which it drops a box.
        name_regions: Whether samples also get ``pred_regions.scores`` (N, K), the logit of
            every class for every box of the source, for `RegionAccuracyMetric`.
    """
    score_threshold: float = 0.001
    nms_iou: float = 0.5
    max_per_image: int = 100
    regress_boxes: bool = True
    fusion: Fusion = 'none'
    report: Literal['fused', 'class'] = 'fused'
    soft_nms: bool = False
    soft_nms_sigma: float = 0.5
    soft_nms_prune: float = 0.001
    name_regions: bool = False

    def __post_init__(self) -> None:
        check_fusion(self.fusion)
        if self.report not in ('fused', 'class'):
            raise UserError("report='fused' or 'class'", repr(self.report), 'choose one of these')


def detections(boxes: Tensor, probabilities: Tensor, box_logits: Tensor | None,
               image_size: tuple[int, int], settings: RegionSettings) -> InstanceData:
    """Fusion of scores, threshold, suppression of each class by itself, limit per image.

    A region may give several detections, one per class.

    Args:
        boxes: (N, 4) xyxy pixels of the input image.
        probabilities: (N, K), without the background's column.
        box_logits: (N,) of the box source; None where it has none.
        image_size: Size (H, W) of the input image without padding.
        settings: See :class:`RegionSettings`.

    Returns:
        bboxes (M, 4) inside the image, scores and labels, best first, and ``regions`` (M,), the
        region that each comes from.

    Raises:
        UserError: Scores shall be fused with those of boxes that have none.
    """
    scores, stays = _fused(probabilities, box_logits, settings.fusion)
    stays = stays & boxes.isfinite().all(1) & scores.isfinite().all(1)
    height, width = image_size
    boxes = torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height] * 2))
    regions, labels = (scores.masked_fill(~stays[:, None], -1)
                       > settings.score_threshold).nonzero(as_tuple=True)
    found, ranked = boxes[regions], scores[regions, labels]
    if settings.soft_nms:
        keep, reported = batched_soft_nms(found, ranked, labels, settings.soft_nms_sigma,
                                          settings.soft_nms_prune, settings.max_per_image)
    else:
        keep = batched_nms(found, ranked, labels, settings.nms_iou)[:settings.max_per_image]
        reported = ranked[keep] if settings.report == 'fused' else \
            probabilities[regions[keep], labels[keep]]
    return InstanceData(bboxes=found[keep], scores=reported, labels=labels[keep],
                        regions=regions[keep])


def to_original(found: InstanceData, sample_size: tuple[int, int] | None,
                scale: tuple[float, float] | None) -> InstanceData:
    """Detections in the original image, without boxes that have no area there.

    Args:
        found: Detections in the input image.
        sample_size: Size (H, W) of the original image; None where it is not known.
        scale: (width, height) of the input image over those of the original; None where it was
            not resized.
    """
    boxes = found.bboxes
    if scale is not None:
        boxes = boxes / boxes.new_tensor(scale).repeat(2)
    if sample_size is not None:
        height, width = sample_size[:2]
        boxes = torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height] * 2))
    found.bboxes = boxes
    return found[(boxes[:, 2:] > boxes[:, :2]).all(1)]


def _fused(probabilities: Tensor, box_logits: Tensor | None,
           how: Fusion) -> tuple[Tensor, Tensor]:
    if how == 'none':
        return probabilities, probabilities.new_ones(len(probabilities), dtype=torch.bool)
    if box_logits is None:
        raise UserError(f'boxes with logits, for fusion={how!r}',
                        'boxes that have none (ground truth, a grid, or given ones)',
                        "set test_cfg=dict(fusion='none'), or take boxes from FrozenRPN")
    return fuse_scores(probabilities, box_logits, how)
