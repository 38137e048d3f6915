"""Which threshold a class should have: by F1, by a precision to reach, by false positives allowed.

Few examples say little of a class. So its counts are joined by those of all classes together, as if
it had `PRIOR` boxes more: a class with many boxes decides for itself, one with few goes with all.
"""
from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from glipkit.errors import UserError

#: Boxes of an average class that the pooled counts stand for.
PRIOR = 5.
#: Thresholds that are tried besides those between the scores of the class itself.
GRID = 200
#: Resamplings of the images.
DRAWS = 20
_FORM = re.compile(r'(precision|fp-per-image)=([0-9.eE+-]+)')


@dataclass(frozen=True)
class Rule:
    """What a threshold is chosen by.

    Args:
        name: ``'f1'``: the most of 2 TP / (2 TP + FP + FN). ``'precision'``: the lowest threshold
            at which at least ``value`` of the detections are right. ``'fp-per-image'``: the lowest
            at which the class has at most ``value`` wrong detections per image.
        value: Of the two latter.
    """
    name: str = 'f1'
    value: float = 0.

    @classmethod
    def read(cls, text: str) -> Rule:
        """The rule of ``'f1'``, ``'precision=0.9'`` or ``'fp-per-image=0.1'``.

        Raises:
            UserError: None of these, a precision outside (0, 1] or less than 0 false positives.
        """
        if text == 'f1':
            return cls()
        found = _FORM.fullmatch(text)
        try:
            value = float(found[2]) if found else -1.
        except ValueError:
            value = -1.
        if value < 0 or not np.isfinite(value) or found[1] == 'precision' and not 0 < value <= 1:
            raise UserError('f1, precision=0.9 (above 0, up to 1) or fp-per-image=0.1 (from 0)',
                            repr(text), 'pass one of these after --by')
        return cls(found[1], value)

    def __str__(self) -> str:
        return self.name if self.name == 'f1' else f'{self.name}={self.value:g}'


@dataclass(frozen=True)
class Scored:
    """Judged detections of one class, or of all together.

    Args:
        scores: (N,).
        right: (N,) bool.
        boxes: Number of boxes to be found.
    """
    scores: np.ndarray
    right: np.ndarray
    boxes: int

    def counts(self, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Right and wrong detections (T,), (T,) whose scores reach thresholds (T,)."""
        return tuple(len(own) - np.searchsorted(own, thresholds) for own in (
            np.sort(self.scores[self.right]), np.sort(self.scores[~self.right])))


def f1(right: np.ndarray, wrong: np.ndarray, boxes: float) -> np.ndarray:
    """2 TP / (2 TP + FP + FN); 0 where nothing is to be found and nothing was."""
    whole = np.asarray(right + wrong + boxes, np.float64)
    return np.divide(2. * np.asarray(right), whole, out=np.zeros_like(whole), where=whole > 0)


def choose_threshold(rule: Rule, own: Scored, pool: Scored, images: int,
                     classes: int) -> tuple[float, bool]:
    """A threshold from 0 to 1, and whether it reaches what the rule asks for.

    Args:
        rule: A precision or false positives per image; for F1 there is `steady_thresholds`.
        own: Of the class.
        pool: Of all classes together, on the same scale.
        images: Number of images.
        classes: Number of classes in the pool.
    """
    tried = _between(own.scores, pool.scores)
    share = PRIOR / max(pool.boxes, 1)
    right, wrong = (mine + share * theirs
                    for mine, theirs in zip(own.counts(tried), pool.counts(tried)))
    if rule.name == 'fp-per-image':
        # The boxes that are added come with as many images as an average class has for them.
        reached = wrong <= rule.value * images * (1 + share * classes)
        return float(tried[reached][0]) if reached.any() else 1., bool(reached.any())
    shown = right + wrong
    precision = np.divide(right, shown, out=np.zeros_like(shown), where=shown > 0)
    reached = precision >= rule.value
    return float(tried[reached][0] if reached.any() else tried[precision.argmax()]), \
        bool(reached.any())


def steady_thresholds(scores: np.ndarray, right: np.ndarray, labels: np.ndarray,
                      images: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Thresholds (K,) of the highest F1, which few examples do not throw about.

    The place of a highest point jumps when a single example comes or goes. So it is looked for in
    `DRAWS` resamplings of the images (bagging, Breiman 1996), and the mean counts.

    Args:
        scores: (N,) probabilities.
        right: (N,) bool.
        labels: (N,).
        images: (N,).
        truth: (I, K) boxes to be found.
    """
    rng, tried = np.random.default_rng(0), np.linspace(.01, .99, GRID)
    order = np.argsort(scores, kind='stable')
    scores, right, labels, images = (one[order] for one in (scores, right, labels, images))
    rows = [np.flatnonzero(labels == label) for label in range(truth.shape[1])]
    found = np.zeros(truth.shape[1])
    for _ in range(DRAWS):
        weights = rng.poisson(1., len(truth)).astype(np.float64)
        boxes = weights @ truth
        share = PRIOR / max(boxes.sum(), 1.)
        pool = _weighted(scores, right, weights[images], tried)
        for label, own in enumerate(rows):
            counts = _weighted(scores[own], right[own], weights[images[own]], tried)
            values = f1(*(mine + share * theirs for mine, theirs in zip(counts, pool)),
                        boxes[label] + PRIOR)
            found[label] += tried[values >= values.max() - 1e-9].mean() / DRAWS
    return found


def _weighted(scores: np.ndarray, right: np.ndarray, weights: np.ndarray,
              tried: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of right and of wrong rows, in ascending order of scores, that reach thresholds."""
    begins = np.searchsorted(scores, tried)
    sums = [np.concatenate([np.cumsum(part[::-1])[::-1], [0.]])
            for part in (np.where(right, weights, 0), np.where(right, 0, weights))]
    return sums[0][begins], sums[1][begins]


def best_single(classes: list[Scored]) -> float:
    """The one threshold for all classes with the highest mean F1; 0.5 where there is no class."""
    if not classes:
        return .5
    together = np.concatenate([one.scores for one in classes])
    tried = _between(np.zeros(0), together, 4 * GRID)
    return float(tried[np.mean([f1(*one.counts(tried), one.boxes) for one in classes], 0).argmax()])


def _between(own: np.ndarray, all_scores: np.ndarray, grid: int = GRID) -> np.ndarray:
    """Thresholds in ascending order, halfway between scores, and one below and above them all."""
    some = np.quantile(all_scores, np.linspace(0, 1, grid)) if len(all_scores) else np.zeros(0)
    known = np.unique(np.concatenate([[0.], own, some, [1.]]))
    return np.concatenate([[0.], (known[1:] + known[:-1]) / 2])
