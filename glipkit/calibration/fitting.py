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
from glipkit.evaluation.functional.reliability import fit_map, fit_shifts
from glipkit.evaluation.functional.thresholds import (
    PRIOR,
    Rule,
    best_single,
    choose_threshold,
    steady_thresholds,
)

METHODS = ('isotonic', 'temperature', 'none')
#: Variance of the shifts of classes.
STRENGTH = .1
#: Parts of the images, each of which is measured with what was fitted on the others.
FOLDS = 3


@dataclass(frozen=True)
class Fitting:
    """How to calibrate.

    Args:
        rule: What thresholds are chosen by.
        method: One of `METHODS`.
        per_object: Rule of what is shown, see `Predictor`.
        default: The model's own threshold, to compare with.
    """
    rule: Rule = Rule()
    method: str = 'isotonic'
    per_object: str = 'one'
    default: float = .3


def fit(images: Sequence[Looked], names: tuple[str, ...], how: Fitting) -> Calibration:
    """Maps and thresholds from some images; classes without a box get the common threshold.

    Args:
        images: Annotated images with their detections.
        names: The classes that were asked for.
        how: Settings.
    """
    raw = judge_all(images, names, how.per_object)
    each_its_own = _each_its_own(images, raw, how)
    found = _fit_scores(images, raw, how, each_its_own)
    table = judge_calibrated(images, names, found)
    notes = []
    if how.rule.name == 'f1':
        common, limits = _f1_thresholds(table)
        if not each_its_own:
            limits = dict.fromkeys(limits, common)
            notes.append(f'thresholds of their own lower F1 on images left out by turns: all have '
                         f'{common:.3f}; more images may change that')
    else:
        common, limits, missed = _other_thresholds(table, how.rule)
        if missed:
            notes.append(f'{how.rule} is not reached by {_listed(missed)}: each has the threshold '
                         'that comes closest')
    default = [name for label, name in enumerate(names) if label not in limits]
    if default:
        notes.append(f'no box to find, so they keep the default, the threshold {common:.3f} of all '
                     f'classes together: {_listed(default)}')
    return replace(found, default=common, notes=tuple(notes),
                   thresholds={names[label]: limit for label, limit in limits.items()})


def _each_its_own(images: Sequence[Looked], raw: Judged, how: Fitting) -> bool:
    """Whether classes have maps and thresholds of their own: unless those of all together give a
    higher F1 on images that were left out by turns, and more than by chance."""
    place, values = np.arange(len(images)), []
    for own in (True, False):
        tables, shown = [], []
        for fold in range(min(FOLDS, len(images))):
            here = place % FOLDS == fold
            mine, others = ([images[i] for i in np.flatnonzero(rows)] for rows in (here, ~here))
            known = _fit_scores(others, raw.part(~here), how, own)
            new, there = (judge_calibrated(part, raw.names, known) for part in (mine, others))
            common, limits = _f1_thresholds(there)
            each = np.array([limits.get(label, common) if own else common
                             for label in range(len(raw.names))])
            tables.append(new)
            shown.append(new.score >= each[new.label])
        found = scores_at(joined(tables), np.concatenate(shown))
        values.append(np.array(list(found['by_class'].values())))
    return not _is_better(values[1] - values[0])


def _is_better(gains: np.ndarray) -> bool:
    """Whether gains (K,) of classes are more than chance: their mean above its standard error."""
    return bool(gains.mean() > gains.std() / np.sqrt(len(gains)) + 1e-9)


def _fit_scores(images: Sequence[Looked], raw: Judged, how: Fitting,
                each_its_own: bool) -> Calibration:
    """A calibration without thresholds, from images and their detections before any map."""
    shared = fit_map(raw.score, raw.right, how.method)
    strength = STRENGTH if each_its_own and how.method != 'none' else 0.
    shifts = fit_shifts(shared(raw.score), raw.right, raw.label, len(raw.names), strength)
    found = Calibration(
        str(how.rule), how.method, {}, 0., shared,
        {name: float(shift) for name, shift in zip(raw.names, shifts) if shift},
        per_object=how.per_object)
    if not found.shifts:
        return found
    # Each object has chosen its label anew.
    table = judge_calibrated(images, raw.names, found)
    return replace(found, final=fit_map(table.score, table.right, how.method))


def _f1_thresholds(table: Judged) -> tuple[float, dict[int, float]]:
    """The best threshold of all classes together, and label -> threshold of those with boxes.

    The fewer boxes a class has, the nearer its threshold is to that of all together.
    """
    seen, boxes = table.with_boxes(), table.boxes
    common = best_single([table.of(label) for label in seen])
    own = steady_thresholds(table.score, table.right, table.label, table.image, table.truth)
    return common, {label: float(common + (own[label] - common)
                                 * boxes[label] / (boxes[label] + PRIOR)) for label in seen}


def _other_thresholds(table: Judged, rule: Rule) -> tuple[float, dict[int, float], list[str]]:
    """As `_f1_thresholds` by another rule, and the names that do not reach what it asks for."""
    pool, images, classes = table.of(None), len(table.absent), len(table.names)
    common, _ = choose_threshold(rule, pool, pool, images * classes, 1)
    chosen = {label: choose_threshold(rule, table.of(label), pool, images, classes)
              for label in table.with_boxes()}
    return common, {label: limit for label, (limit, _) in chosen.items()}, [
        table.names[label] for label, (_, reached) in chosen.items() if not reached]


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
        limits = calibration.limits(names)
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
