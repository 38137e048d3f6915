"""Which detections stay where a question has negatives, or classes that exclude each other."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glipkit.common.boxes import box_iou, one_per_object

#: Intersection over union above which two boxes are on one object.
ONE_OBJECT = 0.5


def settle(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, classes: int,
           groups: Sequence[Sequence[int]] = ()) -> np.ndarray:
    """Which detections of one image stay.

    First what is on one object with a negative that scores more goes. Then of each group the best
    stays on every object, whatever its class in the group is. At last the negatives go.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,).
        labels: (N,); those from ``classes`` on are negatives.
        classes: Number of classes K.
        groups: Labels of classes of which one object has one.

    Returns:
        Indices of those that stay, in ascending order.
    """
    boxes, scores, labels = (np.asarray(one) for one in (boxes, scores, labels))
    negative = labels >= classes
    stays = ~negative
    if negative.any():
        beaten = ((box_iou(boxes, boxes[negative]) > ONE_OBJECT)
                  & (scores[negative] > scores[:, None])).any(1)
        stays &= ~beaten
    for group in groups:
        own = np.flatnonzero(stays & np.isin(labels, list(group)))
        stays[own] = False
        stays[own[one_per_object(boxes[own], scores[own], ONE_OBJECT)]] = True
    return np.flatnonzero(stays)


def settle_learned(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray,
                   learned: Sequence[int], avoided: int) -> np.ndarray:
    """Which detections of one image stay where names were learned with what is not meant.

    Of the learned names goes what is on one object with a learned negative that scores more; then
    these negatives go. Words are not touched.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,).
        labels: (N,).
        learned: Labels of the learned names.
        avoided: Label from which on all are learned negatives.

    Returns:
        Indices of those that stay, in ascending order.
    """
    labels = np.asarray(labels)
    negative = labels >= avoided
    own = np.flatnonzero(negative | np.isin(labels, list(learned)))
    stays = np.ones(len(labels), bool)
    stays[own] = False
    stays[own[settle(boxes[own], scores[own], negative[own].astype(np.int64), 1)]] = True
    return np.flatnonzero(stays)
