"""How often a model finds a class that is certainly not in the image.

AP hardly shows it: false positives that score lower than the last right detection cost nothing. But
users with a threshold on scores see all those above it. I images, H thresholds.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FalsePositives:
    """Results for each threshold; -1 where no image had an absent class.

    Args:
        protocol: What was counted, in one line.
        per_image: Mean number per image.
        per_class: Mean number per absent class and image; comparable between data sets that ask
            for few and for many classes.
        images: Share of the images that have at least one.
    """
    protocol: str
    per_image: Mapping[float, float]
    per_class: Mapping[float, float]
    images: Mapping[float, float]


def count_above(scores: np.ndarray, absent: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """Detections of absent classes in one image, (H,): those with a score >= the threshold.

    Args:
        scores: Scores (N,).
        absent: Whether the class of each detection is certainly not in the image, (N,) bool.
        thresholds: Thresholds (H,).
    """
    wrong = np.asarray(scores)[np.asarray(absent, dtype=bool)]
    return (wrong[:, None] >= np.asarray(thresholds, dtype=wrong.dtype)).sum(0)


def false_positives(counts: np.ndarray, absent: np.ndarray,
                    thresholds: Sequence[float]) -> FalsePositives:
    """Means over images.

    Args:
        counts: Results (I, H) of `count_above`, for images with at least one absent class.
        absent: Number (I,) of absent classes that the model was asked for.
        thresholds: Thresholds (H,) of the columns.
    """
    counts = np.asarray(counts, dtype=np.float64).reshape(-1, len(thresholds))
    pairs = int(np.sum(absent))

    def by_threshold(values: np.ndarray) -> dict[float, float]:
        return dict(zip(thresholds, values.tolist()))

    nothing = np.full(len(thresholds), -1.)
    return FalsePositives(
        protocol=f'false positives on absent classes, {len(counts)} images, {pairs} pairs of an '
                 'image and an absent class',
        per_image=by_threshold(counts.mean(0) if len(counts) else nothing),
        per_class=by_threshold(counts.sum(0) / pairs if pairs else nothing),
        images=by_threshold((counts > 0).mean(0) if len(counts) else nothing))
