"""Labelled photographs as a data set that any trainer reads: COCO files, and YOLO's on demand."""
from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from glipkit.apis.data_sets import AnnotatedImages
from glipkit.apis.prediction_writers import open_writer
from glipkit.distil.labels import Labelled
from glipkit.distil.settings import LabelPlan
from glipkit.errors import UserError
from glipkit.files import atomic_folder, copy_file, make_folder, write_text
from glipkit.runs.results import write_json

#: Folder of the data set, below that of the run; the held-out part is its ``val``.
FOLDER = 'data'
TRAIN, VAL = 'train', 'val'
COUNTS = 'counts.json'


@dataclass(frozen=True)
class LabelledData:
    """A data set out of labels.

    Args:
        parts: ``'train'`` and ``'val'``.
        counts: Photographs, boxes, boxes of each class.
    """

    parts: Mapping[str, AnnotatedImages]
    counts: Mapping[str, Any]


def held_out(names: Sequence[str], share: float) -> set[str]:
    """The names that are held out: at least one and not all, by a digest of each name.

    A photograph stays on its side when others come or go, but for those at the border.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(
        name.encode(errors='surrogatepass')).hexdigest())
    return set(order[:min(max(1, round(share * len(order))), len(order) - 1)])


def write_data_set(labelled: Iterable[Labelled], classes: Sequence[str], plan: LabelPlan,
                   out: Path) -> LabelledData:
    """Writes the folder ``data`` of a run, whole or not at all.

    ``data/train/coco.json`` and ``data/train/images/``, and the same of ``val``; with the form
    ``'yolo'`` also ``data/train/labels/`` and ``data/data.yaml``. Photographs are linked where the
    file system can, and copied elsewhere.

    Args:
        labelled: Photographs and their labels.
        classes: Names in the order of the labels.
        plan: Shares and form.
        out: Folder of the run.

    Raises:
        UserError: Nothing was found, fewer than two photographs are left, or nothing can be
            written there.
    """
    labelled = list(labelled)
    kept = [one for one in labelled if len(one.found) >= plan.min_boxes]
    counts = _counts(kept, classes)
    if not any(len(one.found) for one in labelled):
        raise UserError('photographs in which the teacher finds the classes',
                        f'no box in {len(labelled)} photographs',
                        'check the class names, lower --threshold, or tune the teacher first')
    if len(kept) < 2:
        what = f'with {plan.min_boxes} labels or more' if plan.min_boxes else 'that can be read'
        raise UserError('at least two photographs, one to learn from and one to compare on',
                        f'{len(kept)} {what}',
                        'add some' + (', or lower --min-boxes' if plan.min_boxes else ''))
    val = held_out([one.name for one in kept], plan.val_share)
    folder = out / FOLDER
    with atomic_folder(folder) as temporary:
        for part in (TRAIN, VAL):
            own = [one for one in kept if (one.name in val) == (part == VAL)]
            _write_part(temporary / part, own, classes, plan.form)
        if plan.form == 'yolo':
            content = dict(train=f'{TRAIN}/images', val=f'{VAL}/images',
                           nc=len(classes), names=dict(enumerate(classes)))
            write_text(temporary / 'data.yaml', yaml.safe_dump(content, allow_unicode=True,
                                                               sort_keys=False))
        counts = dict(plan=plan.shares(), **counts)
        write_json(temporary / COUNTS, counts)
    return opened(out, counts)


def opened(out: Path, counts: Mapping[str, Any]) -> LabelledData:
    """The data set in the folder of a run."""
    folder = out / FOLDER
    return LabelledData({part: AnnotatedImages(folder / part / 'coco.json',
                                               folder / part / 'images')
                         for part in (TRAIN, VAL)}, counts)


def _write_part(folder: Path, labelled: Sequence[Labelled], classes: Sequence[str],
                form: str) -> None:
    for one in labelled:
        _link(one.found.path, folder / 'images' / one.name)
    for name in ('coco', 'yolo') if form == 'yolo' else ('coco', ):
        with open_writer(name, folder, classes) as writer:
            writer.begin()
            for one in labelled:
                writer.add(one.found, one.name)
    # One for all parts stands above them.
    (folder / 'data.yaml').unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    """A file under another name: a link where the file system has them, else a copy."""
    make_folder(target.parent)
    try:
        os.link(source.resolve(), target)
    except OSError:
        copy_file(source, target)


def _counts(labelled: Sequence[Labelled], classes: Sequence[str]) -> dict[str, Any]:
    boxes = Counter(name for one in labelled for name in one.found.names)
    return dict(photographs=len(labelled), boxes=sum(boxes.values()),
                empty=sum(not len(one.found) for one in labelled),
                classes={name: boxes[name] for name in classes})
