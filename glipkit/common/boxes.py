"""Overlap of boxes: xyxy pixels, exclusive right and bottom edge, N and M boxes."""
from __future__ import annotations

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
    import torch  # with its weight only where it is needed
    from torchvision.ops import nms
    kept = nms(torch.from_numpy(np.asarray(boxes, np.float32).reshape(-1, 4)),
               torch.from_numpy(np.asarray(scores, np.float32)), overlap)
    return np.sort(kept.numpy())


def box_area(boxes: np.ndarray) -> np.ndarray:
    """Areas: (..., 4) -> (...); 0 for boxes whose edges are in the wrong order."""
    return (boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(-1)


def to_xywh(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) boxes as COCO files hold them: left, top, width, height."""
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)


def to_xyxy(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) boxes of COCO files as left, top, right, bottom."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)
