"""Detections of annotated images, judged, and the numbers that a calibration is measured by."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glipkit.apis.calibration import Calibration
from glipkit.common.boxes import one_per_object
from glipkit.evaluation.functional.false_positives import false_positives
from glipkit.evaluation.functional.reliability import absent_pairs, judge, reliability
from glipkit.evaluation.functional.thresholds import Scored, f1


@dataclass(frozen=True, eq=False)
class Looked:
    """One annotated image: all detections (N) with scores before any map, and its boxes (G).

    Labels index the classes that were asked for.
    """
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    truth: np.ndarray
    truth_labels: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True, eq=False)
class Judged:
    """What is shown of many images before thresholds, as one table of N rows.

    Args:
        names: The K classes.
        image: (N,) place of the image.
        label: (N,).
        score: (N,) score or probability.
        right: (N,) bool.
        truth: (I, K) boxes to be found in each image.
        absent: (I, K) bool whether a class is not in an image.
    """
    names: tuple[str, ...]
    image: np.ndarray
    label: np.ndarray
    score: np.ndarray
    right: np.ndarray
    truth: np.ndarray
    absent: np.ndarray

    @property
    def boxes(self) -> np.ndarray:
        """(K,) boxes to be found."""
        return self.truth.sum(0)

    def of(self, label: int | None) -> Scored:
        """The rows of one class; None takes all."""
        own = slice(None) if label is None else self.label == label
        boxes = self.boxes.sum() if label is None else self.boxes[label]
        return Scored(self.score[own], self.right[own], int(boxes))

    def with_boxes(self) -> list[int]:
        """Labels of the classes that have a box to be found."""
        return np.flatnonzero(self.boxes).tolist()

    def part(self, images: np.ndarray) -> Judged:
        """The rows of some images.

        Args:
            images: (I,) bool.
        """
        rows = images[self.image]
        place = np.cumsum(images) - 1
        return Judged(self.names, place[self.image[rows]], self.label[rows], self.score[rows],
                      self.right[rows], self.truth[images], self.absent[images])


def judge_all(images: Sequence[Looked], names: tuple[str, ...], per_object: str,
              score: Callable[[Looked], np.ndarray] | None = None) -> Judged:
    """Judges the detections that are shown of each image.

    Args:
        images: The images.
        names: The K classes.
        per_object: ``'one'`` or ``'all'`` labels of an object.
        score: The scores (N,) to use of an image; None takes those before any map.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    truth = np.zeros((len(images), len(names)), np.int32)
    for place, image in enumerate(images):
        values = np.asarray(image.scores if score is None else score(image), np.float64)
        shown = one_per_object(image.boxes, values) if per_object == 'one' \
            else np.arange(len(values))
        verdict = judge(image.boxes[shown], values[shown], image.labels[shown], image.truth,
                        image.truth_labels, image.crowd)
        shown, verdict = shown[verdict >= 0], verdict[verdict >= 0]
        parts.append((np.full(len(shown), place), image.labels[shown], values[shown],
                      verdict == 1))
        truth[place] = np.bincount(image.truth_labels[~image.crowd], minlength=len(names))
    empty = (np.zeros(0, int), np.zeros(0, int), np.zeros(0), np.zeros(0, bool))
    image, label, values, right = map(np.concatenate, zip(empty, *parts))
    absent = absent_pairs([one.truth_labels for one in images], len(names))
    return Judged(names, image, label, values, right, truth, absent)


def judge_calibrated(images: Sequence[Looked], names: tuple[str, ...],
                     calibration: Calibration) -> Judged:
    """As `judge_all`, with the probabilities of a calibration."""
    return judge_all(images, names, calibration.per_object, lambda one: calibration.probabilities(
        one.scores, one.labels, names))


def joined(parts: Sequence[Judged]) -> Judged:
    """Tables of different images as one."""
    starts = np.cumsum([0, *(len(one.absent) for one in parts)])
    return Judged(
        parts[0].names, np.concatenate([one.image + start for one, start in zip(parts, starts)]),
        *(np.concatenate([getattr(one, key) for one in parts])
          for key in ('label', 'score', 'right')),
        *(np.concatenate([getattr(one, key) for one in parts]) for key in ('truth', 'absent')))


def scores_at(table: Judged, shown: np.ndarray) -> dict[str, Any]:
    """What a user sees of detections.

    Args:
        table: N rows.
        shown: (N,) bool: which of them reach their threshold.

    Returns:
        ``f1`` (mean over the classes that have a box), ``precision`` and ``recall`` of all
        together, ``absent_per_image`` and ``absent_per_class``: wrong detections of absent classes
        per image, and per pair of an image and an absent class; ``by_class``: name -> F1.
    """
    boxes = table.boxes
    right_of, wrong_of = (np.bincount(table.label[shown & one], minlength=len(boxes))
                          for one in (table.right, ~table.right))
    values = f1(right_of, wrong_of, boxes)
    by_class = {table.names[label]: float(values[label]) for label in table.with_boxes()}
    right, all_shown = int((shown & table.right).sum()), int(shown.sum())
    of_absent = shown & table.absent[table.image, table.label]
    per_image = np.bincount(table.image[of_absent], minlength=len(table.absent))
    some = table.absent.any(1)
    wrong = false_positives(per_image[some, None], table.absent.sum(1)[some], (0., ))
    return dict(f1=float(np.mean(list(by_class.values()))) if by_class else -1.,
                precision=right / all_shown if all_shown else -1.,
                recall=right / max(int(boxes.sum()), 1),
                absent_per_image=wrong.per_image[0.], absent_per_class=wrong.per_class[0.],
                by_class=by_class)


def error_of(table: Judged) -> float:
    """Expected calibration error of all rows."""
    return reliability(table.score, table.right).error
