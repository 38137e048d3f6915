"""The choice of a teacher's boxes that become labels; numpy arithmetic only."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glipkit.common.boxes import box_iou
from glipkit.labelling.settings import LabelSettings


def screen(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, settings: LabelSettings,
           texts: Sequence[str] | None = None) -> np.ndarray:
    """Indices of the boxes to keep, best first; none where the image is to be left out.

    Args:
        boxes: Boxes (N, 4), xyxy pixels.
        scores: Scores (N,) from 0 to 1.
        labels: Indices (N,) of phrases.
        settings: Thresholds.
        texts: Text of every phrase; phrases of one text name the same things. None: all differ.
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
    if settings.leftover < 1:
        kept = _with_leftovers(boxes, scores, labels, settings, kept, texts)
    chosen = np.array(kept, dtype=np.int64)
    strong = int((scores[chosen] > settings.strong_score).sum())
    if len(chosen) < settings.min_boxes or strong < settings.min_strong:
        return np.empty(0, dtype=np.int64)
    return chosen


def _with_leftovers(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray,
                    settings: LabelSettings, sure: list[int],
                    texts: Sequence[str] | None) -> list[int]:
    """Adds boxes of phrases that are sure of none, where no other phrase has a box; best first.

    A caption names what there is: once the words that the teacher knows have their boxes, a word
    that it does not know names one of the things that are left over.
    """
    things = labels if texts is None else np.array(
        [texts.index(texts[label]) for label in labels.tolist()], dtype=np.int64)
    known = set(things[sure].tolist())
    kept, best = list(sure), {}
    for i in np.argsort(-scores, kind='stable').tolist():
        if scores[i] <= settings.leftover:
            break
        if things[i] in known or (
                scores[i] < settings.leftover_share * best.get(int(labels[i]), 0.)):
            continue
        rivals = (things[kept] != things[i]) | (labels[kept] == labels[i])
        if np.any((box_iou(boxes[i], boxes[kept])[0] > settings.phrase_nms) & rivals):
            continue
        best.setdefault(int(labels[i]), scores[i])
        kept.append(i)
    return sorted(kept, key=lambda i: -scores[i])
