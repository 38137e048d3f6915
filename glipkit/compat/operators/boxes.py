"""Box operators: suppression and overlaps.

Boxes are (N, 4) xyxy pixels; with ``offset=1`` the right and bottom pixels are inclusive
(w = x2 - x1 + 1), with 0 they are not.
"""
from __future__ import annotations

import torch
import torchvision
from torch import Tensor

from glipkit.compat.operators.precision import raised


def pairwise_overlaps(a: Tensor, b: Tensor, offset: int = 0, mode: int = 0) -> Tensor:
    """Overlaps of boxes that broadcast against each other.

    Args:
        a: (..., 4) boxes.
        b: (..., 4) boxes.
        offset: 0 or 1, see the module.
        mode: 0 divides the intersection by the union, 1 by the area of ``a``.

    Returns:
        Overlaps of the broadcast shape; NaN where both areas are zero, as in mmcv.
    """
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    intersection = (high - low + offset).clamp(min=0).prod(-1)
    area_a = (a[..., 2:] - a[..., :2] + offset).prod(-1)
    if mode == 1:
        return intersection / area_a
    area_b = (b[..., 2:] - b[..., :2] + offset).prod(-1)
    return intersection / (area_a + area_b - intersection)


def bbox_overlaps(bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int = 0,
                  aligned: bool = False, offset: int = 0) -> None:
    """Overlaps (M, N) of every pair, or (N,) of boxes in the same row if ``aligned``."""
    if not aligned:
        bboxes1 = bboxes1[:, None]
    ious.copy_(pairwise_overlaps(raised(bboxes1), raised(bboxes2), offset, mode))


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Indices of the boxes kept, by falling score; overlaps above the threshold are removed."""
    boxes, scores = raised(boxes), raised(scores)
    if offset:
        # Inclusive edges are exclusive edges one pixel further out.
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torchvision.ops.nms(boxes, scores.to(boxes.dtype), iou_threshold)


def _decay(overlap: Tensor, method: int, iou_threshold: float, sigma: float) -> Tensor:
    """Factors by which Soft-NMS lowers scores: 0 hard, 1 linear, 2 Gaussian (paper, eq. 1-3)."""
    if method == 2:
        return torch.exp(-overlap**2 / sigma)
    kept = torch.zeros_like(overlap) if method == 0 else 1 - overlap
    return torch.where(overlap >= iou_threshold, kept, torch.ones_like(overlap))


def softnms(boxes: Tensor, scores: Tensor, dets: Tensor, iou_threshold: float, sigma: float,
            min_score: float, method: int, offset: int) -> Tensor:
    """Soft-NMS (Bodla et al. 2017): overlapping boxes lose score instead of being removed.

    Args:
        boxes: (N, 4).
        scores: (N,).
        dets: (N, 5) buffer; the first K rows receive the kept boxes with their lowered scores.
        iou_threshold: Overlap from which methods 0 and 1 act.
        sigma: Width of method 2.
        min_score: Boxes whose lowered score falls below it are dropped.
        method: 0 hard, 1 linear, 2 Gaussian.
        offset: 0 or 1, see the module.

    Returns:
        (K,) indices of the kept boxes, in the order of ``dets``.
    """
    rest = torch.arange(len(boxes), device=boxes.device)
    left, left_scores = raised(boxes), raised(scores)
    kept: list[Tensor] = []
    while len(rest):
        best = int(left_scores.argmax())
        dets[len(kept), :4] = left[best]
        dets[len(kept), 4] = left_scores[best]
        kept.append(rest[best])
        overlap = pairwise_overlaps(left[best], left, offset)
        lowered = left_scores * _decay(overlap, method, iou_threshold, sigma)
        # Not '>=': a score of NaN stays, as in the compiled operator.
        stays = ~(lowered < min_score)
        stays[best] = False
        rest, left, left_scores = rest[stays], left[stays], lowered[stays]
    return torch.stack(kept) if kept else rest


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Groups of indices: each kept box, followed by those it suppresses, by falling score.

    Args:
        dets: (N, 5) boxes with scores.
        iou_threshold: Overlap from which (inclusive) a box is suppressed.
    """
    boxes, rest = dets[:, :4], dets[:, 4].argsort(descending=True)
    groups = []
    while len(rest):
        first, others = rest[0], rest[1:]
        joins = pairwise_overlaps(boxes[first], boxes[others]) >= iou_threshold
        groups.append([int(first), *others[joins].tolist()])
        rest = others[~joins]
    return groups
