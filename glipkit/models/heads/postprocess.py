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
    """Scored boxes before suppression: boxes (M, 4) xyxy inclusive pixels, scores, labels (M,).

    From `select_at_once` all have one more axis in front, of the images.
    """
    boxes: Tensor
    scores: Tensor
    labels: Tensor

    @staticmethod
    def cat(parts: Sequence[Candidates]) -> Candidates:
        if len(parts) == 1:
            return parts[0]
        return Candidates(*(torch.cat([getattr(p, name) for p in parts])
                            for name in ('boxes', 'scores', 'labels')))

    def where(self, kept: Tensor) -> Candidates:
        """Those of an index, or of a slice of the first axis."""
        return Candidates(self.boxes[kept], self.scores[kept], self.labels[kept])


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


def select_at_once(label_scores: Sequence[Tensor], centernesses: Sequence[Tensor],
                   boxes: Sequence[Tensor], settings: TestSettings) -> Candidates:
    """As `select_candidates`, for all images and by shapes alone, as a GPU prefers it.

    How many pairs pass the threshold is known on the GPU only; to ask would make the host wait. So
    every image has as many, and those that do not pass have the score 0: `real_ones` drops them.

    Args:
        label_scores: Probabilities (B, N_i, K) of each level.
        centernesses: Probabilities (B, N_i) of each level.
        boxes: Decoded boxes (B, N_i, 4) of each level.
        settings: Threshold and number of pairs.

    Returns:
        Candidates with one more axis in front: boxes (B, M, 4), scores and labels (B, M).
    """
    parts = []
    for scores, center, level_boxes in zip(label_scores, centernesses, boxes):
        product = torch.where(scores > settings.score_threshold, scores * center[..., None], 0.)
        count = min(settings.nms_pre, product[0].numel())
        product, place = product.flatten(1).topk(count, sorted=False)
        anchors = place // scores.shape[2]
        own = level_boxes.gather(1, anchors[..., None].expand(-1, -1, 4))
        parts.append((own, product.sqrt(), place - anchors * scores.shape[2]))
    return Candidates(*(torch.cat(part, dim=1) for part in zip(*parts)))


def real_ones(candidates: Candidates) -> Candidates:
    """Candidates of one image without those of score 0. Here the host waits for a GPU."""
    return candidates.where(candidates.scores.nonzero()[:, 0])


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
    corners = candidates.boxes.unflatten(1, (2, 2))
    boxes = torch.stack([corners[..., 0].clamp(0, width - 1), corners[..., 1].clamp(0, height - 1)],
                        dim=-1).flatten(1)
    keep = batched_nms(boxes, candidates.scores, candidates.labels, settings.nms_iou)
    scores = candidates.scores[keep]
    if len(keep) > settings.max_per_image:
        keep = keep[scores >= scores[settings.max_per_image - 1]]
    return InstanceData(
        bboxes=boxes[keep], scores=candidates.scores[keep], labels=candidates.labels[keep])
