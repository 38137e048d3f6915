"""Overlap of boxes: xyxy pixels, exclusive right and bottom edge, N and M boxes."""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair: (N, 4), (M, 4) -> (N, M) float.

    It is 0 where neither box of a pair has an area.

    >>> box_iou(np.array([[0, 0, 2, 2]]), np.array([[0, 0, 2, 1]]))
    array([[0.5]])
    """
    a, b = (np.asarray(boxes, dtype=np.float64).reshape(-1, 4) for boxes in (a, b))
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    common = sides.clip(min=0).prod(-1)
    union = box_area(a)[:, None] + box_area(b)[None] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def paired_iou_xywh(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of the boxes at equal positions: (N, 4), (N, 4) -> (N,).

    Boxes are left, top, width, height, and the arithmetic is that of pycocotools, so that an
    overlap equal to a threshold is judged in the same way.
    """
    sides = (np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
             - np.maximum(a[:, :2], b[:, :2]))
    common = sides.clip(min=0).prod(1)
    return common / (a[:, 2:].prod(1) + b[:, 2:].prod(1) - common)


def one_per_object(boxes: np.ndarray, scores: np.ndarray, overlap: float = 0.5) -> np.ndarray:
    """Which of the boxes stay where each object may have one, whatever their classes are.

    Non-maximum suppression over all classes together: the best score stays, and what overlaps it
    more than `overlap` goes, and so on with what is left. Equal scores: the first stays.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,).
        overlap: Intersection over union above which two boxes are one object.

    Returns:
        Indices of those that stay, in ascending order.
    """
    return np.sort(nms(boxes, scores, overlap))


def nms(boxes: np.ndarray, scores: np.ndarray, overlap: float,
        labels: np.ndarray | None = None) -> np.ndarray:
    """Non-maximum suppression, with the arithmetic of torchvision: float32, equal scores in order.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,).
        overlap: Intersection over union above which the weaker box goes.
        labels: (N,), of which each is suppressed by itself; None for one label.

    Returns:
        Indices of the boxes that stay, best first.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    scores = np.asarray(scores, np.float32).reshape(-1)
    if labels is not None:
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        kept = [group[nms(boxes[group], scores[group], overlap)] for group in groups]
        found = np.concatenate(kept) if kept else np.zeros(0, np.int64)
        return found[np.argsort(-scores[found], kind='stable')]
    areas, limit = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), np.float64(overlap)
    left, kept = np.argsort(-scores, kind='stable'), []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        sides = (np.minimum(boxes[best, 2:], boxes[left, 2:])
                 - np.maximum(boxes[best, :2], boxes[left, :2])).clip(min=0)
        common = sides[:, 0] * sides[:, 1]
        union = areas[best] + areas[left] - common
        share = np.divide(common, union, out=np.zeros_like(common), where=union != 0)
        left = left[~(share > limit)]
    return np.array(kept, np.int64)


def grid_boxes(height: int, width: int, sizes: Sequence[float], shapes: Sequence[float],
               step: float) -> np.ndarray:
    """Boxes side by side at every size and shape, inside an image, and the whole image.

    Neighbours of one size are at most ``step`` of a box apart, and the first and the last touch
    the edges of the image.

    Args:
        height: Of the image in pixels.
        width: Likewise.
        sizes: Square root of the area over the shorter side of the image.
        shapes: Height over width.
        step: Distance of neighbours, in parts of the box's side.

    Returns:
        (N, 4) float32 xyxy, each box once.
    """
    def starts(length: int, side: float) -> np.ndarray:
        count = 1 + math.ceil((length - side) / (side * step) - 1e-6)
        return np.linspace(0, length - side, max(count, 1), dtype=np.float32)

    found = [np.array([[0, 0, width, height]], np.float32)]
    for size in sizes:
        for shape in shapes:
            side = size * min(height, width)
            h, w = min(height, side * math.sqrt(shape)), min(width, side / math.sqrt(shape))
            tops, lefts = np.meshgrid(starts(height, h), starts(width, w), indexing='ij')
            corners = np.stack([lefts.ravel(), tops.ravel()], 1)
            found.append(np.concatenate([corners, corners + np.array([w, h], np.float32)], 1))
    # Large boxes are equal where the image is too small for their shape.
    return np.unique(np.concatenate(found).round(3), axis=0)


def box_area(boxes: np.ndarray) -> np.ndarray:
    """Areas: (..., 4) -> (...); 0 for boxes whose edges are in the wrong order."""
    return (boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(-1)


def to_xywh(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) boxes as COCO files hold them: left, top, width, height."""
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)


def to_xyxy(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) boxes of COCO files as left, top, right, bottom."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)
