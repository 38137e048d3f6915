"""Detections of a whole data set in little memory: flat arrays, bounded as a protocol bounds them.

An LVIS run makes up to 9,300 detections per image. As Python objects, 40 million of them do not fit
in a machine's memory; here a detection takes 28 bytes, and those beyond the bound of their class
are dropped while the images come in. N detections of one image, M of all.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

#: Least number of waiting rows that are sorted into the kept ones; it takes about a second.
_PENDING = 2_000_000


@dataclass(frozen=True)
class Rows:
    """Detections as arrays of one length M.

    Args:
        image: (M,) int32, index of the image.
        category: (M,) int32, index of the class.
        boxes: (M, 4) float32 xywh pixels.
        scores: (M,) float32.
    """
    image: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, category: np.ndarray, boxes: np.ndarray,
           scores: np.ndarray) -> Rows:
        """The arrays in their types; boxes of any shape with 4 M numbers."""
        return cls(np.asarray(image, np.int32), np.asarray(category, np.int32),
                   np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(scores, np.float32))

    @classmethod
    def cat(cls, parts: Iterable[Rows]) -> Rows:
        """All rows of the parts, in their order."""
        parts = [*parts, cls.of([], [], [], [])]
        return cls(*(np.concatenate([getattr(part, name) for part in parts])
                     for name in ('image', 'category', 'boxes', 'scores')))

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, chosen: np.ndarray | slice) -> Rows:
        return Rows(self.image[chosen], self.category[chosen], self.boxes[chosen],
                    self.scores[chosen])

    def ranked(self) -> Rows:
        """By class, the best first; equal scores by image, then in the order of arrival."""
        return self[np.lexsort((self.image, -self.scores, self.category))]


class DetectionSpool:
    """Takes in the detections of one image after the other, in any order of images.

    What is kept does not depend on that order: of equal scores at a bound the earlier image's, and
    within an image the earlier detection's, stays.

    Args:
        num_classes: Number of classes C.
        per_image: Number of best detections of an image that count, over all its classes; None
            for all.
        per_class: Number of best detections of a class that count, over all images; None for all.
    """

    def __init__(self, num_classes: int, per_image: int | None = None,
                 per_class: int | None = None) -> None:
        self.per_image, self.per_class = per_image, per_class
        # A score below it can no longer be among the best of its class.
        self._least = np.full(num_classes, -np.inf, dtype=np.float32)
        self._kept = Rows.cat([])
        self._pending: list[Rows] = []
        self._waiting = 0
        self._seen: set[int] = set()

    def add(self, image: int, category: np.ndarray, boxes: np.ndarray,
            scores: np.ndarray) -> None:
        """Takes an image the first time it comes: samplers of several processes repeat some.

        Args:
            image: Index of the image.
            category: Class indices (N,).
            boxes: Boxes (N, 4), xywh pixels.
            scores: Scores (N,).
        """
        if image in self._seen:
            return
        self._seen.add(image)
        rows = Rows.of(np.full(len(scores), image), category, boxes, scores)
        if self.per_image is not None and len(rows) > self.per_image:
            rows = rows[np.argsort(-rows.scores, kind='stable')[:self.per_image]]
        self._extend(rows)

    def merge(self, rows: Rows, seen: np.ndarray) -> None:
        """Takes what another spool kept, except for images that this one has seen.

        Args:
            rows: Value of `rows` of the other spool.
            seen: Value of `seen` of the other spool.
        """
        if self._seen:
            rows = rows[~np.isin(rows.image, self.seen)]
        self._extend(rows)
        self._seen.update(seen.tolist())

    @property
    def seen(self) -> np.ndarray:
        """Indices of the images taken in, ascending, int32."""
        return np.array(sorted(self._seen), dtype=np.int32)

    def rows(self) -> Rows:
        """The detections that count, in the order of `Rows.ranked`."""
        self._compact()
        return self._kept

    def _extend(self, rows: Rows) -> None:
        rows = rows[rows.scores >= self._least[rows.category]]
        self._pending.append(rows)
        self._waiting += len(rows)
        # As many as half of the kept ones, so that sorting these again stays a small part.
        if self._waiting >= max(_PENDING, len(self._kept) // 2):
            self._compact()

    def _compact(self) -> None:
        if not self._pending:
            return
        rows = Rows.cat([self._kept, *self._pending]).ranked()
        self._pending, self._waiting = [], 0
        if self.per_class is not None:
            first = np.searchsorted(rows.category, np.arange(len(self._least) + 1))
            rank = np.arange(len(rows)) - first[rows.category]
            full = np.diff(first) >= self.per_class
            self._least[full] = rows.scores[first[:-1][full] + self.per_class - 1]
            rows = rows[rank < self.per_class]
        self._kept = rows
