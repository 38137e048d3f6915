"""The choice of a teacher's boxes that become labels; numpy arithmetic only."""
from __future__ import annotations

import numpy as np

from glipkit.common.boxes import box_iou
from glipkit.labelling.settings import LabelSettings


def screen(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray,
           settings: LabelSettings) -> np.ndarray:
    """Indices of the boxes to keep, best first; none where the image is to be left out.

    Args:
        boxes: Boxes (N, 4), xyxy pixels.
        scores: Scores (N,) from 0 to 1.
        labels: Indices (N,) of phrases.
        settings: Thresholds.
    """
    order = np.argsort(-scores, kind='stable')
    order = order[scores[order] > settings.score]
    kept: list[int] = []
    for i in order.tolist():
        ious = box_iou(boxes[i], boxes[kept])[0]
        limits = np.where(labels[kept] == labels[i], settings.phrase_nms, settings.cross_nms)
        # A limit of 1 is off: even the same box may carry two phrases then.
        if not np.any((ious > limits) & (limits < 1)):
            kept.append(i)
    chosen = np.array(kept, dtype=np.int64)
    strong = int((scores[chosen] > settings.strong_score).sum())
    if len(chosen) < settings.min_boxes or strong < settings.min_strong:
        return np.empty(0, dtype=np.int64)
    return chosen
