"""Whether scores are probabilities: which detections are right, and how far scores are from that.

N detections, G boxes of the ground truth. A detection is right as in COCO at one overlap: in the
order of scores each takes the free box of its class that it overlaps most, by half or more.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glipkit.common.boxes import box_area, box_iou
from glipkit.common.score_maps import ScoreMap, log_odds

OVERLAP = .5
#: Bins of equal width from 0 to 1, as many as in Guo et al. 2017.
BINS = 15
#: Share of the score itself in an isotonic map, so that it rises everywhere and no order is lost.
OWN_SHARE = 2e-3
#: Most points of a fitted map, and the range of temperatures.
POINTS, TEMPERATURES = 200, (.05, 20.)
#: Probabilities are kept so far from 0 and 1 where shifts are computed.
FLOOR = 1e-3


def judge(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, truth: np.ndarray,
          truth_labels: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Which detections of one image are right, (N,) int8: 1 right, 0 wrong, -1 lies in a crowd.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,).
        labels: (N,).
        truth: (G, 4) xyxy.
        truth_labels: (G,).
        crowd: (G,) bool: a box around many things, in which no detection counts.
    """
    found = np.zeros(len(scores), np.int8)
    boxes, truth = (np.asarray(one, np.float64).reshape(-1, 4) for one in (boxes, truth))
    overlaps = np.where(np.asarray(labels)[:, None] == np.asarray(truth_labels)[None],
                        box_iou(boxes, truth), 0)
    free = ~np.asarray(crowd, bool)
    for row in np.argsort(-np.asarray(scores), kind='stable'):
        possible = np.where(free, overlaps[row], 0)
        if possible.max(initial=0) >= OVERLAP:
            free[possible.argmax()] = False
            found[row] = 1
    left = np.flatnonzero(found == 0)
    found[left[_in_crowd(boxes[left], np.asarray(labels)[left], truth, truth_labels, crowd)]] = -1
    return found


def _in_crowd(boxes: np.ndarray, labels: np.ndarray, truth: np.ndarray, truth_labels: np.ndarray,
              crowd: np.ndarray) -> np.ndarray:
    """(N,) whether half of a box or more lies in a crowd of its class."""
    inside = np.zeros(len(boxes), bool)
    for around, label in zip(truth[np.asarray(crowd, bool)],
                             np.asarray(truth_labels)[np.asarray(crowd, bool)]):
        common = np.concatenate([np.maximum(boxes[:, :2], around[:2]),
                                 np.minimum(boxes[:, 2:], around[2:])], 1)
        inside |= (labels == label) & (box_area(common) >= OVERLAP * box_area(boxes))
    return inside


@dataclass(frozen=True)
class Reliability:
    """Detections in bins of their scores.

    Args:
        error: Expected calibration error (Guo et al. 2017, equation 3; of detections as in
            Küppers et al. 2020): mean over all detections of the distance between mean score and
            share of right ones in their bin. -1 without detections.
        counts: (BINS,) detections.
        scores: (BINS,) mean score; NaN in an empty bin.
        right: (BINS,) share of right ones; NaN in an empty bin.
    """
    error: float
    counts: np.ndarray
    scores: np.ndarray
    right: np.ndarray


def reliability(scores: np.ndarray, right: np.ndarray, bins: int = BINS) -> Reliability:
    """Mean scores beside shares of right detections.

    Args:
        scores: (N,) from 0 to 1.
        right: (N,) bool.
        bins: Number of bins of equal width.
    """
    scores, right = np.asarray(scores, np.float64), np.asarray(right, np.float64)
    place = np.minimum((scores * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    means = [np.divide(np.bincount(place, values, bins), counts,
                       out=np.full(bins, np.nan), where=counts > 0) for values in (scores, right)]
    if not len(scores):
        return Reliability(-1., counts, *means)
    there = counts > 0
    error = (counts[there] * np.abs(means[0] - means[1])[there]).sum() / len(scores)
    return Reliability(float(error), counts, *means)


def fit_map(scores: np.ndarray, right: np.ndarray, method: str) -> ScoreMap:
    """The map from scores to the probability of being right, by scikit-learn.

    Args:
        scores: (N,) from 0 to 1.
        right: (N,) bool. Where all are right or none, scores stay as they are.
        method: ``'isotonic'``: centred isotonic regression (Oron and Flournoy 2017), which has no
            steps; ``'temperature'``; ``'none'``.
    """
    scores, right = np.asarray(scores, np.float64), np.asarray(right, bool)
    if method == 'none' or right.all() or not right.any():
        return ScoreMap()
    if method == 'temperature':
        return ScoreMap(temperature=_temperature(scores, right))
    from sklearn.isotonic import IsotonicRegression
    order = np.argsort(scores, kind='stable')
    xs, own = scores[order], right[order].astype(np.float64)
    fitted = IsotonicRegression(y_min=0, y_max=1).fit_transform(xs, own)
    step = np.concatenate([[0], np.cumsum(np.diff(fitted) > 1e-12)])
    counts = np.bincount(step)
    return _rising(np.bincount(step, xs) / counts, np.bincount(step, fitted) / counts)


def _rising(xs: np.ndarray, ys: np.ndarray) -> ScoreMap:
    """A map through points, which rise: strictly, from score 0 to score 1, and not too many."""
    chosen = np.unique(np.linspace(0, len(xs) - 1, min(len(xs), POINTS)).round().astype(int))
    xs, ys = xs[chosen], ys[chosen]
    inside = (xs > 1e-9) & (xs < 1 - 1e-9)
    xs = np.concatenate([[0.], xs[inside], [1.]])
    ys = np.concatenate([[0.], ys[inside], ys[-1:]])
    apart = np.concatenate([[True], np.diff(xs) > 1e-9])
    ys = (1 - OWN_SHARE) * ys + OWN_SHARE * xs
    return ScoreMap(points=tuple(zip(xs[apart].tolist(), ys[apart].tolist())))


def _temperature(scores: np.ndarray, right: np.ndarray) -> float:
    """The temperature of least log loss: logistic regression on the log odds, without a bias."""
    from sklearn.linear_model import LogisticRegression
    fitted = LogisticRegression(C=np.inf, fit_intercept=False, max_iter=1000).fit(
        log_odds(scores)[:, None], right)
    slope = float(fitted.coef_[0, 0])
    return float(np.clip(1 / slope if slope > 0 else np.inf, *TEMPERATURES))


def fit_shifts(probabilities: np.ndarray, right: np.ndarray, labels: np.ndarray, classes: int,
               strength: float) -> np.ndarray:
    """What to add to the log odds of each class, (K,): most probable under a normal prior.

    A class with few detections stays near 0. Logistic regression with the log odds as an offset and
    a weight per class, by Newton's method.

    Args:
        probabilities: (N,).
        right: (N,) bool.
        labels: (N,).
        classes: K.
        strength: Variance of the prior; 0 shifts nothing.
    """
    shifts = np.zeros(classes)
    if not strength:
        return shifts
    odds = log_odds(np.clip(probabilities, FLOOR, 1 - FLOOR))
    for _ in range(30):
        found = 1 / (1 + np.exp(-odds - shifts[labels]))
        slope = np.bincount(labels, right - found, classes) - shifts / strength
        bend = np.bincount(labels, found * (1 - found), classes) + 1 / strength
        step = np.clip(slope / bend, -1, 1)
        shifts = shifts + step
        if np.abs(step).max(initial=0) < 1e-6:
            break
    return shifts


def absent_pairs(present: Sequence[Sequence[int]], classes: int) -> np.ndarray:
    """(I, K) bool whether a class is absent from an image.

    Args:
        present: Labels of the boxes of each of I images.
        classes: K.
    """
    absent = np.ones((len(present), classes), bool)
    for row, labels in zip(absent, present):
        row[list(labels)] = False
    return absent
