"""How often a model finds what is certainly not there.

AP hardly sees it: a false positive under the last right detection costs nothing. People who put a
threshold on scores see nothing else. I images, H thresholds.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FalsePositives:
    """Per threshold; -1 where there was nothing to be wrong about.

    Args:
        protocol: What was counted, in one line.
        per_image: Mean number in an image.
        per_class: Mean number for one absent class in one image: comparable between data sets
            that ask for few and for many.
        images: Share of the images that have at least one.
    """
    protocol: str
    per_image: Mapping[float, float]
    per_class: Mapping[float, float]
    images: Mapping[float, float]


def count_above(scores: np.ndarray, absent: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """Detections of absent classes in one image, (H,): those with a score >= the threshold.

    Args:
        scores: (N,).
        absent: (N,) bool: the class of the detection is certainly not in the image.
        thresholds: (H,).
    """
    wrong = np.asarray(scores)[np.asarray(absent, dtype=bool)]
    return (wrong[:, None] >= np.asarray(thresholds, dtype=wrong.dtype)).sum(0)


def false_positives(counts: np.ndarray, absent: np.ndarray,
                    thresholds: Sequence[float]) -> FalsePositives:
    """Means over images.

    Args:
        counts: (I, H) from `count_above`, for images with at least one absent class.
        absent: (I,) number of absent classes that the model was asked for.
        thresholds: (H,) names of the columns.
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
