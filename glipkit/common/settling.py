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
                   learned: Sequence[int], avoided: int) -> tuple[np.ndarray, np.ndarray]:
    """What is left of the detections of one image where names were learned with what is not meant.

    A learned name and a learned negative on one object share it: a score s beside n, the best of
    the negatives there, becomes s * s / (s + n), what s would be times the share of the thing among
    the two. None is lost by it, as by a word that must not be found: from few examples a thing and
    what looks like it are not far apart, and often the better of the two is wrong. Then the
    negatives go. Words are not touched.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,).
        labels: (N,).
        learned: Labels of the learned names.
        avoided: Label from which on all are learned negatives.

    Returns:
        Indices of those that stay, best first, and their scores.
    """
    boxes, labels = np.asarray(boxes), np.asarray(labels)
    scores = np.array(scores, np.float32)
    negative = labels >= avoided
    own = np.isin(labels, list(learned))
    if negative.any() and own.any():
        near = box_iou(boxes[own], boxes[negative]) > ONE_OBJECT
        beside = np.where(near, scores[negative], 0).max(1)
        scores[own] *= scores[own] / np.maximum(scores[own] + beside, np.finfo(np.float32).tiny)
    kept = np.flatnonzero(~negative)
    kept = kept[np.argsort(-scores[kept], kind='stable')]
    return kept, scores[kept]
