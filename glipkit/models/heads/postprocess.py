"""From head outputs to detections, in the order of the official code.

The tensors of one image: N anchors over all levels, K labels.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmengine.structures import InstanceData
from torch import Tensor
from torchvision.ops import batched_nms


@dataclass(frozen=True)
class TestSettings:
    """Settings of prediction.

    Attributes:
        score_threshold: Label scores at or below it are dropped, before centerness is applied.
        nms_pre: Number of best (anchor, label) pairs kept per level and prompt.
        nms_iou: Overlap above which the weaker box of a label is removed.
        max_per_image: Number of detections kept; equal scores at the last place are all kept.
        max_tokens: Largest number of tokens of one class prompt, [CLS] and [SEP] included; longer
            lists are split. None takes the model's own limit. A model works best with prompts as
            long as those it was trained with.
    """
    score_threshold: float = 0.05
    nms_pre: int = 1000
    nms_iou: float = 0.6
    max_per_image: int = 100
    max_tokens: int | None = None


@dataclass
class Candidates:
    """Scored boxes before suppression: boxes (M, 4) xyxy inclusive pixels, scores, labels (M,)."""
    boxes: Tensor
    scores: Tensor
    labels: Tensor

    @staticmethod
    def cat(parts: Sequence[Candidates]) -> Candidates:
        return Candidates(*(torch.cat([getattr(p, name) for p in parts])
                            for name in ('boxes', 'scores', 'labels')))


def select_candidates(label_scores: Sequence[Tensor], centernesses: Sequence[Tensor],
                      boxes: Sequence[Tensor], settings: TestSettings) -> Candidates:
    """Threshold and rank the (anchor, label) pairs of one image, level by level.

    Args:
        label_scores: Probabilities (N_i, K) of each level.
        centernesses: Probabilities (N_i,) of each level.
        boxes: Decoded boxes (N_i, 4) of each level.
        settings: Threshold and number of pairs.

    Returns:
        Candidates with the score sqrt(label score x centerness).
    """
    parts = []
    for scores, center, level_boxes in zip(label_scores, centernesses, boxes):
        anchors, labels = (scores > settings.score_threshold).nonzero(as_tuple=True)
        product = scores[anchors, labels] * center[anchors]
        product, best = product.topk(min(settings.nms_pre, product.numel()), sorted=False)
        parts.append(Candidates(level_boxes[anchors[best]], product.sqrt(), labels[best]))
    return Candidates.cat(parts)


def suppress(candidates: Candidates, image_size: tuple[int, int],
             settings: TestSettings) -> InstanceData:
    """Clip, per-label NMS and the limit per image.

    Args:
        candidates: All candidates of one image, of all its prompts.
        image_size: Size (H, W) of the input image without padding.
        settings: Overlap and number of detections.

    Returns:
        bboxes (M, 4) xyxy inclusive pixels of the input image, scores and labels, best first.
    """
    height, width = image_size
    limit = candidates.boxes.new_tensor([width - 1, height - 1, width - 1, height - 1])
    boxes = torch.minimum(candidates.boxes.clamp(min=0), limit)
    keep = batched_nms(boxes, candidates.scores, candidates.labels, settings.nms_iou)
    scores = candidates.scores[keep]
    if len(keep) > settings.max_per_image:
        keep = keep[scores >= scores[settings.max_per_image - 1]]
    return InstanceData(
        bboxes=boxes[keep], scores=candidates.scores[keep], labels=candidates.labels[keep])
