"""Which of a teacher's boxes become labels; numpy arithmetic alone."""
from __future__ import annotations

import numpy as np

from glipkit.apis.labelling.settings import LabelSettings


def screen(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray,
           settings: LabelSettings) -> np.ndarray:
    """Indices of the boxes to keep, best first; none where the image is to be left out.

    Args:
        boxes: (N, 4) xyxy pixels.
        scores: (N,) from 0 to 1.
        labels: (N,) indices of phrases.
        settings: Thresholds.
    """
    order = np.argsort(-scores, kind='stable')
    order = order[scores[order] > settings.score]
    kept: list[int] = []
    for i in order.tolist():
        ious = box_iou(boxes[i], boxes[kept])
        limits = np.where(labels[kept] == labels[i], settings.phrase_nms, settings.cross_nms)
        # A limit of 1 is off: even the same box may carry two phrases then.
        if not np.any((ious > limits) & (limits < 1)):
            kept.append(i)
    chosen = np.array(kept, dtype=np.int64)
    strong = int((scores[chosen] > settings.strong_score).sum())
    if len(chosen) < settings.min_boxes or strong < settings.min_strong:
        return np.empty(0, dtype=np.int64)
    return chosen


def box_iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) IoU of one xyxy box with others (N, 4).

    >>> box_iou(np.array([0, 0, 2, 2]), np.array([[0, 0, 2, 1]]))
    array([0.5])
    """
    others = others.reshape(-1, 4)
    corner = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    inter = corner.clip(0).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1)
    union = (box[2:] - box[:2]).prod() + areas - inter
    return inter / np.maximum(union, 1e-12)
