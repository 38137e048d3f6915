"""LVIS average precision, fixed and capped, class by class over flat arrays.

Equal to the ``lvis`` package (arXiv 1908.03195), which keeps Python objects for every pair of an
image and a class and so needs minutes and gigabytes. Fixed AP (arXiv 2102.01066) bounds the
detections of a class over the whole set. A bound for each image would let frequent classes displace
rare ones.

T = 10 IoU thresholds, R = 101 recalls, C classes, A = 4 area ranges; of one class: n detections,
g boxes, m detections that overlap some box.
"""
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glipkit.common.boxes import paired_iou_xywh
from glipkit.common.reporter import track
from glipkit.evaluation.functional.federated import FREQUENCIES, FederatedTruth
from glipkit.evaluation.functional.spool import DetectionSpool, Rows

IOU_THRESHOLDS = np.linspace(.5, .95, 10)
RECALLS = np.linspace(0, 1, 101)
#: All, small, medium, large: (least, greatest) area in pixels, both inclusive.
AREAS = np.array([(0, 1e5**2), (0, 32**2), (32**2, 96**2), (96**2, 1e5**2)])
SCORE_NAMES = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'APr', 'APc', 'APf')
FIXED_PER_CLASS = 10_000
CAPPED_PER_IMAGE = 300


@dataclass(frozen=True)
class LvisAP:
    """Scores from 0 to 1; -1 where there is no ground truth.

    Args:
        protocol: What was computed, in one line.
        overall: `SCORE_NAMES` -> score.
        per_class: Category id -> AP, AP50, AP75, APs, APm, APl.
        groups: Name of a group of classes -> the same over its classes.
    """
    protocol: str
    overall: Mapping[str, float]
    per_class: Mapping[int, Mapping[str, float]]
    groups: Mapping[str, Mapping[str, float]]


def make_spool(num_classes: int, protocol: str) -> DetectionSpool:
    """The spool with the bounds of a protocol.

    Args:
        num_classes: Number of classes C.
        protocol: 'fixed' or 'capped'.

    Raises:
        ValueError: Another protocol.
    """
    if protocol == 'fixed':
        return DetectionSpool(num_classes, per_class=FIXED_PER_CLASS)
    if protocol == 'capped':
        return DetectionSpool(num_classes, per_image=CAPPED_PER_IMAGE)
    raise ValueError(f"protocol 'fixed' or 'capped', not {protocol!r}")


def protocol_name(spool: DetectionSpool) -> str:
    """The kind of LVIS AP that a spool leads to, in one line."""
    if spool.per_class is not None:
        return f'LVIS fixed AP (at most {spool.per_class} detections per class, no cap per image)'
    return f'LVIS capped AP (at most {spool.per_image} detections per image)'


def lvis_ap(truth: FederatedTruth, spool: DetectionSpool,
            groups: Mapping[str, Sequence[int]] | None = None,
            classes: Collection[int] | None = None) -> LvisAP:
    """Computes LVIS box AP over the images that the spool has seen.

    Args:
        truth: Ground truth.
        spool: All detections; class and image indices are those of ``truth``.
        groups: Name -> category ids.
        classes: Category ids to score, the others have no part in any mean; None: all.
    """
    rows, seen = spool.rows(), np.zeros(len(truth.image_ids), dtype=bool)
    seen[spool.seen] = True
    # The package drops boxes without area first of all.
    counts = truth.judged[rows.category, rows.image] & (rows.boxes[:, 2:].prod(1) > 0)
    rows = rows[counts]
    first = np.searchsorted(rows.category, np.arange(len(truth.category_ids) + 1))
    precision = np.full((len(IOU_THRESHOLDS), len(RECALLS), len(truth.category_ids), len(AREAS)),
                        -1.)
    scored = range(len(truth.category_ids)) if classes is None else np.flatnonzero(
        np.isin(truth.category_ids, list(classes)))
    for c in track(scored, 'LVIS AP', unit='class'):
        found = rows[first[c]:first[c + 1]]
        precision[:, :, c] = _class_precision(truth, c, seen, found)
    column = {int(category_id): c for c, category_id in enumerate(truth.category_ids)}
    overall = _scores(precision)
    for frequency in FREQUENCIES:
        overall[f'AP{frequency}'] = _mean(precision[:, :, truth.frequency == frequency, 0])
    return LvisAP(
        protocol=protocol_name(spool),
        overall=overall,
        per_class={i: _scores(precision[:, :, [c]]) for i, c in column.items()},
        groups={name: _scores(precision[:, :, [column[i] for i in members]])
                for name, members in (groups or {}).items()})


def _class_precision(truth: FederatedTruth, c: int, seen: np.ndarray, found: Rows) -> np.ndarray:
    """Interpolated precision (T, R, A) of one class; -1 where an area range has no box.

    Args:
        truth: Ground truth.
        c: Index of the class.
        seen: Images to score, (I,) bool.
        found: Its n detections in judged images, best first.
    """
    own = slice(truth.first[c], truth.first[c + 1])
    chosen = seen[truth.image[own]]
    image, boxes = truth.image[own][chosen], truth.boxes[own][chosen]
    ignored = truth.ignore[own][chosen][:, None] | _outside(truth.areas[own][chosen])  # (g, A)
    num_boxes = (~ignored).sum(0)
    result = np.full((len(IOU_THRESHOLDS), len(RECALLS), len(AREAS)), -1.)
    result[:, :, num_boxes > 0] = 0
    if not num_boxes.any():
        return result
    found_boxes = found.boxes.astype(np.float64)
    place, box, iou = _overlapping_pairs(found.image, found_boxes, image, boxes)
    if not len(place):
        return result
    candidates, pair = np.unique(place, return_inverse=True)
    matched, matched_ignored = _match(found.image[candidates], pair, box, iou, ignored)
    # An unmatched detection is wrong, unless its own area is out of range, or it may be one of
    # the objects that nobody annotated.
    wrong = ~(_outside(found_boxes[:, 2:].prod(1)) | truth.lenient[c, found.image][:, None])
    right = matched & ~matched_ignored  # (m, T, A)
    counted = np.where(matched, right, wrong[candidates][:, None]).astype(np.int64)
    # Detections that count, up to each candidate: all as if unmatched, then corrected.
    counted -= wrong[candidates][:, None]
    total = np.cumsum(wrong, axis=0)[candidates][:, None] + np.cumsum(counted, axis=0)
    found_so_far = np.cumsum(right, axis=0)
    # Precision has its peaks at right detections only; from each, the greatest one to come.
    peaks = np.where(right, found_so_far / np.maximum(total, 1), 0)
    peaks = np.maximum.accumulate(peaks[::-1], axis=0)[::-1]
    peaks = np.concatenate([peaks, np.zeros_like(peaks[:1])])
    for a in np.flatnonzero(num_boxes):
        needed = np.searchsorted(np.arange(num_boxes[a] + 1) / num_boxes[a], RECALLS)
        for t in range(len(IOU_THRESHOLDS)):
            result[t, :, a] = peaks[np.searchsorted(found_so_far[:, t, a], needed), t, a]
    return result


def _overlapping_pairs(found_image: np.ndarray, found_boxes: np.ndarray, image: np.ndarray,
                       boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detections and boxes of one image with an IoU that some threshold accepts.

    Args:
        found_image: Image (n,) of each detection.
        found_boxes: Detections (n, 4), xywh.
        image: Image (g,) of each box, ascending.
        boxes: Boxes (g, 4), xywh.

    Returns:
        Index of the detection, index of the box, IoU, each (pairs,); sorted by both indices.
    """
    begin = np.searchsorted(image, found_image)
    count = np.searchsorted(image, found_image, side='right') - begin
    place = np.repeat(np.arange(len(found_image)), count)
    box = np.arange(count.sum()) + np.repeat(begin - (np.cumsum(count) - count), count)
    iou = paired_iou_xywh(found_boxes[place], boxes[box])
    kept = iou >= IOU_THRESHOLDS[0]
    return place[kept], box[kept], iou[kept]


def _match(image: np.ndarray, pair: np.ndarray, box: np.ndarray, iou: np.ndarray,
           ignored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gives each detection, the best first, the free box that it overlaps most.

    Boxes to ignore are taken only where no other is left; of equal overlaps the later box is taken.
    Images are independent, so the k-th detections of all of them are matched at once.

    Args:
        image: Image (m,) of each candidate, the best first.
        pair: Index (pairs,) of a candidate, ascending.
        box: Index (pairs,) of a box, ascending within a candidate.
        iou: Overlap (pairs,) of the two.
        ignored: Boxes to ignore, (g, A) bool.

    Returns:
        Whether a candidate has a box, and whether that is to be ignored; (m, T, A) bool each.
    """
    m, shape = len(image), (len(IOU_THRESHOLDS), len(AREAS))
    matched = np.zeros((m, *shape), dtype=bool)
    matched_ignored = np.zeros_like(matched)
    taken = np.zeros((len(ignored), *shape), dtype=bool)
    begin = np.searchsorted(pair, np.arange(m + 1))
    count = np.diff(begin)
    turn = _rank_within(image)
    order = np.argsort(turn, kind='stable')
    bounds = np.searchsorted(turn[order], np.arange(turn.max() + 2))
    for low, high in zip(bounds[:-1], bounds[1:]):
        now = order[low:high]
        # (D, K): the K or fewer boxes of each of D candidates; the last first, as argmax takes
        # the first of equals.
        slots = begin[now + 1][:, None] - 1 - np.arange(count[now].max())
        real = slots >= begin[now][:, None]
        slots = np.where(real, slots, begin[now][:, None])
        boxes, overlap = box[slots], np.where(real, iou[slots], -1.)[..., None, None]
        free = (overlap >= IOU_THRESHOLDS[:, None]) & ~taken[boxes]  # (D, K, T, A)
        regular = free & ~ignored[boxes][:, :, None]
        free = np.where(regular.any(1, keepdims=True), regular, free)
        best = np.where(free, overlap, -1.).argmax(1)  # (D, T, A)
        hit = free.any(1)
        chosen = np.take_along_axis(boxes, best.reshape(len(now), -1), 1).reshape(best.shape)
        d, t, a = np.nonzero(hit)
        taken[chosen[d, t, a], t, a] = True
        matched[now] = hit
        matched_ignored[now[d], t, a] = ignored[chosen[d, t, a], a]
    return matched, matched_ignored


def _rank_within(group: np.ndarray) -> np.ndarray:
    """For each position the number of earlier ones with the same value."""
    order = np.argsort(group, kind='stable')
    ordered = group[order]
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - np.searchsorted(ordered, ordered)
    return rank


def _outside(areas: np.ndarray) -> np.ndarray:
    """Areas (k,) -> whether each is outside each range, (k, A)."""
    return (areas[:, None] < AREAS[:, 0]) | (areas[:, None] > AREAS[:, 1])


def _scores(precision: np.ndarray) -> dict[str, float]:
    """Means over the classes with ground truth, from precision (T, R, classes, A)."""
    return dict(
        AP=_mean(precision[..., 0]), AP50=_mean(precision[0, ..., 0]),
        AP75=_mean(precision[5, ..., 0]), APs=_mean(precision[..., 1]),
        APm=_mean(precision[..., 2]), APl=_mean(precision[..., 3]))


def _mean(precision: np.ndarray) -> float:
    values = precision[precision > -1]
    return float(values.mean()) if values.size else -1.
