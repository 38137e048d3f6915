"""How well the pixels of images are labelled: intersection over union, and panoptic quality.

K classes.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

#: A pair of ids of segments as one number.
_PAIR = 1 << 24


def confusion_matrix(truth: np.ndarray, found: np.ndarray, num_classes: int) -> np.ndarray:
    """Pixels by their true and their found class.

    Args:
        truth: (H, W) whole numbers, labels; pixels below 0 do not count.
        found: (H, W) labels.
        num_classes: K.

    Returns:
        (K, K) int64, true classes down.
    """
    counted = truth >= 0
    pairs = truth[counted].astype(np.int64) * num_classes + found[counted]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def segmentation_scores(matrix: np.ndarray,
                        groups: Mapping[str, Sequence[int]] | None = None) -> dict[str, float]:
    """Numbers from a confusion matrix, as mmsegmentation has them.

    Args:
        matrix: (K, K), from `confusion_matrix`, summed over all images.
        groups: Name -> classes.

    Returns:
        'miou', the mean IoU of the classes that are true or found somewhere; 'mean_accuracy', the
        mean share of right pixels of the classes that are true somewhere; 'accuracy', the share of
        right pixels; and for each group 'NAME_miou'. Shares from 0 to 1; -1 where nothing is to be
        found.
    """
    right = np.diag(matrix).astype(float)
    true, found = matrix.sum(1), matrix.sum(0)
    with np.errstate(invalid='ignore'):
        iou, accuracy = right / (true + found - right), right / true
    scores = dict(miou=_mean(iou), mean_accuracy=_mean(accuracy),
                  accuracy=float(right.sum() / true.sum()) if true.sum() else -1.)
    for name, classes in (groups or {}).items():
        scores[f'{name}_miou'] = _mean(iou[list(classes)])
    return scores


def _mean(values: np.ndarray) -> float:
    """Mean of the numbers among values, -1 without any."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else -1.


@dataclass(frozen=True)
class Segments:
    """The segments of an image.

    Args:
        ids: (H, W) whole numbers below 2^24, the segment of each pixel; 0 is none.
        labels: Id -> class.
        crowds: Ids of segments that stand for many things and are not scored.
    """
    ids: np.ndarray
    labels: Mapping[int, int]
    crowds: frozenset[int] = frozenset()


def panoptic_counts(truth: Segments, found: Segments, num_classes: int) -> np.ndarray:
    """Matches of an image's segments (Kirillov et al., "Panoptic Segmentation", CVPR 2019, section
    4), with crowds and unlabelled pixels as in COCO's panopticapi.

    A true and a found segment of one class match where their IoU is above 0.5; pixels that nobody
    labelled do not count. Found segments that lie by more than half on such pixels and on the crowd
    of their class are no mistakes.

    Args:
        truth: What is there.
        found: What was found; without crowds.
        num_classes: K.

    Returns:
        (K, 4) float64: matches, sum of their IoU, found ones too many, true ones missed.
    """
    pairs, counts = np.unique(truth.ids.astype(np.int64) * _PAIR + found.ids, return_counts=True)
    shared = {divmod(pair, _PAIR): count for pair, count in zip(pairs.tolist(), counts.tolist())}
    true_area, found_area = _areas(truth), _areas(found)
    rows = np.zeros((num_classes, 4))
    matched: set[int] = set()
    hit: set[int] = set()
    for (true, own), area in shared.items():
        label = truth.labels.get(true)
        if label is None or true in truth.crowds or label != found.labels.get(own):
            continue
        iou = area / (found_area[own] + true_area[true] - area - shared.get((0, own), 0))
        if iou > .5:
            rows[label, :2] += 1, iou
            matched.add(true)
            hit.add(own)
    crowd_of = {truth.labels[one]: one for one in truth.labels if one in truth.crowds}
    for true, label in truth.labels.items():
        rows[label, 3] += true not in matched and true not in truth.crowds
    for own, label in found.labels.items():
        excused = shared.get((0, own), 0) + shared.get((crowd_of.get(label, -1), own), 0)
        rows[label, 2] += own not in hit and excused <= .5 * found_area[own]
    return rows


def _areas(segments: Segments) -> dict[int, int]:
    ids, counts = np.unique(segments.ids, return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist()))


def panoptic_scores(rows: np.ndarray, things: Sequence[bool]) -> dict[str, float]:
    """Panoptic, segmentation and recognition quality.

    Args:
        rows: (K, 4), from `panoptic_counts`, summed over all images.
        things: Whether each class is a thing.

    Returns:
        'pq', 'sq' and 'rq', and the same with 'thing_' and 'stuff_' before them: means over the
        classes of which something is there or was found, from 0 to 1; -1 without any.
    """
    matches, iou, extra, missed = rows.T
    used = matches + extra + missed
    with np.errstate(invalid='ignore'):
        pq = iou / (matches + .5 * extra + .5 * missed)
        sq = np.where(matches > 0, iou / matches, 0)
        rq = matches / (matches + .5 * extra + .5 * missed)
    things = np.asarray(things, bool)
    scores = {}
    for name, chosen in (('', used >= 0), ('thing_', things), ('stuff_', ~things)):
        chosen = chosen & (used > 0)
        for part, values in (('pq', pq), ('sq', sq), ('rq', rq)):
            scores[f'{name}{part}'] = _mean(values[chosen])
    return scores
