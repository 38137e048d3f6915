"""How often a region's own class is among the best of all names.

A region is a box or a mask that somebody gave: nothing is found here, only named. N regions, K
classes.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

#: How many best names may hold the right one, by default.
TOP = (1, 5)


@dataclass(frozen=True)
class RegionAccuracy:
    """Shares from 0 to 1; -1 where there is no region.

    Args:
        overall: 'top1', 'top5': share of the regions; 'mean_top1', 'mean_top5': mean over the
            classes that have a region of their shares, so that rare classes count as much as
            common ones (mAcc of CLIPSelf, ICLR 2024, table 1).
        per_class: Class -> its 'top1', 'top5'; classes without a region are left out.
        groups: Group -> as ``overall``, over the regions of its classes.
        regions: Number of regions.
        classes: Number of classes that compete: chance is 1 of them.
    """
    overall: Mapping[str, float]
    per_class: Mapping[int, Mapping[str, float]]
    groups: Mapping[str, Mapping[str, float]]
    regions: int
    classes: int

    @property
    def chance(self) -> float:
        """Top-1 of guessing, from 0 to 1; 0 where nothing competes."""
        return 1 / self.classes if self.classes else 0.


def true_ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rank of each region's own class among all names.

    Args:
        scores: (N, K) finite numbers, higher is better; logits or probabilities.
        labels: (N,) true classes.

    Returns:
        (N,) int64, 0 for the best. Of equal scores the earlier class ranks first, as ``argmax`` has
        it: a model that says the same of all classes is right for the first class only.
    """
    scores, labels = np.asarray(scores), np.asarray(labels, dtype=np.int64)
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    earlier = np.arange(scores.shape[1])[None] < labels[:, None]
    return ((scores > own) | ((scores == own) & earlier)).sum(axis=1)


def region_accuracy(ranks: np.ndarray, labels: np.ndarray, num_classes: int,
                    groups: Mapping[str, Sequence[int]] | None = None,
                    top: Sequence[int] = TOP) -> RegionAccuracy:
    """Accuracy of naming regions.

    Args:
        ranks: (N,) ranks from `true_ranks`.
        labels: (N,) true classes.
        num_classes: Number of names that compete, K.
        groups: Name -> classes, e.g. base and novel.
        top: How many best names may hold the right one.
    """
    ranks, labels = np.asarray(ranks), np.asarray(labels, dtype=np.int64)
    hits = {f'top{k}': ranks < k for k in top}
    present = np.unique(labels).tolist()
    per_class = {c: {name: float(hit[labels == c].mean()) for name, hit in hits.items()}
                 for c in present}

    def of(classes: Sequence[int]) -> dict[str, float]:
        chosen = np.isin(labels, list(classes))
        there = [c for c in present if c in set(classes)]
        scores = {}
        for name, hit in hits.items():
            scores[name] = float(hit[chosen].mean()) if there else -1.
            scores[f'mean_{name}'] = (float(np.mean([per_class[c][name] for c in there]))
                                      if there else -1.)
        return scores

    return RegionAccuracy(
        overall=of(present), per_class=per_class,
        groups={name: of(classes) for name, classes in (groups or {}).items()},
        regions=len(labels), classes=num_classes)
