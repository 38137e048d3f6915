"""A calibration from judged detections, and how good it is on images that it has not seen."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from glipkit.apis.calibration import Calibration
from glipkit.calibration.measuring import (
    Judged,
    Looked,
    error_of,
    joined,
    judge_all,
    judge_calibrated,
    scores_at,
)
from glipkit.evaluation.functional.reliability import fit_map
from glipkit.evaluation.functional.thresholds import Rule, best_single, choose_threshold

METHODS = ('isotonic', 'temperature', 'none')
#: Right, and wrong, detections from which on a class has a map of its own.
LEAST_FOR_MAP = 50
#: Parts of the images, each of which is measured with what was fitted on the others.
FOLDS = 3


@dataclass(frozen=True)
class Fitting:
    """How to calibrate.

    Args:
        rule: What thresholds are chosen by.
        method: One of `METHODS`.
        per_object: Rule of what is shown, see `Predictor`.
        default: The model's own threshold.
    """
    rule: Rule = Rule()
    method: str = 'isotonic'
    per_object: str = 'one'
    default: float = .3


def fit(images: Sequence[Looked], names: tuple[str, ...], how: Fitting) -> Calibration:
    """Maps and thresholds from some images; classes without a box get no threshold.

    Args:
        images: Annotated images with their detections.
        names: The classes that were asked for.
        how: Settings.
    """
    before = judge_all(images, names, how.per_object)
    shared = fit_map(before.score, before.right, how.method)
    maps = {}
    for label in before.with_boxes():
        own = before.of(label)
        if min(own.right.sum(), (~own.right).sum()) >= LEAST_FOR_MAP and how.method != 'none':
            maps[names[label]] = fit_map(own.scores, own.right, how.method)
    found = Calibration(str(how.rule), how.method, {}, shared, maps, how.per_object)
    table = judge_calibrated(images, names, found)
    pool, seen = table.of(None), table.with_boxes()
    chosen = {label: choose_threshold(how.rule, table.of(label), pool, len(images), len(seen))
              for label in seen}
    missed = [names[label] for label, (_, reached) in chosen.items() if not reached]
    notes = [f'{how.rule} is not reached by {_listed(missed)}: each has the threshold that comes '
             'closest'] if missed else []
    default = [names[label] for label in range(len(names)) if label not in seen]
    if default:
        notes.append(f'no box to find, so the default threshold {how.default:g} stays: '
                     f'{_listed(default)}')
    return replace(found, notes=tuple(notes), thresholds={
        names[label]: threshold for label, (threshold, _) in chosen.items()})


def measure(images: Sequence[Looked], names: tuple[str, ...], how: Fitting
            ) -> tuple[dict[str, Any], Judged, Judged]:
    """Numbers before and after, each on images that the calibration was not fitted on.

    The images are dealt into `FOLDS` parts; each is measured with what the others gave.

    Returns:
        The numbers; the detections before; and those after, with probabilities.
    """
    folds = min(FOLDS, len(images))
    parts: list[tuple[Judged, Judged, np.ndarray, np.ndarray]] = []
    for fold in range(folds):
        own = [image for place, image in enumerate(images) if place % folds == fold]
        rest = [image for place, image in enumerate(images) if place % folds != fold]
        calibration = fit(rest, names, how)
        known = judge_all(rest, names, how.per_object)
        single = best_single([known.of(label) for label in known.with_boxes()])
        before, after = judge_all(own, names, how.per_object), judge_calibrated(
            own, names, calibration)
        limits = calibration.limits(names, how.default)
        parts.append((before, after, before.score >= single, after.score >= limits[after.label]))
    before, after = joined([part[0] for part in parts]), joined([part[1] for part in parts])
    by_single, by_class = (np.concatenate([part[i] for part in parts]) for i in (2, 3))
    return dict(
        images=len(images), folds=folds, boxes=int(before.boxes.sum()),
        classes=len(before.with_boxes()), detections=len(before.score),
        ece_before=error_of(before), ece_after=error_of(after),
        default=scores_at(before, before.score >= how.default),
        single=scores_at(before, by_single), by_class=scores_at(after, by_class)), before, after


def _listed(names: Sequence[str], most: int = 10) -> str:
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(names[:most]) + more
