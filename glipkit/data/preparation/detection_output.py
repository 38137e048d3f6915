"""Detection sources as they are written: what is dropped, the two layouts, their steps."""
from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.data.formats.reading import MIN_SIDE
from glipkit.data.preparation.detection import Boxes, Detections
from glipkit.data.preparation.steps import Preparation, Step

LAYOUTS = ('odvg', 'coco')
"""Line file with a label map, or one json."""

def add_layout(parser: argparse.ArgumentParser) -> None:
    """Adds the option --layout."""
    parser.add_argument('--layout', choices=LAYOUTS, default='odvg',
                        help='of the training set: lines and a label map, which are read without '
                        'holding the file, or one COCO json (default: %(default)s)')


def once(read: Callable[[Step], Detections]) -> Callable[[Step], Detections]:
    """A function that reads at its first call and returns the same result at later ones."""
    kept: list[Detections] = []

    def read_or_remember(step: Step) -> Detections:
        if not kept:
            kept.append(read(step))
        return kept[0]

    return read_or_remember


def write_set(prep: Preparation, stem: str, inputs: Sequence[str | Path],
              settings: Mapping[str, Any], read: Callable[[Step], Detections],
              layout: str = 'coco', clean: bool = True) -> None:
    """The steps of one set: ``stem.json``, or ``stem.jsonl`` and ``stem_label_map.json``.

    Args:
        prep: The preparation.
        stem: 'annotations/lvis_train'.
        inputs: Files that the set is made from.
        settings: Everything else that shapes the set.
        read: Reads the source; called at most once, and only where a step is not done.
        layout: One of `LAYOUTS`.
        clean: Drops what training cannot use (`clean_boxes`). Off for validation sets, whose
            published numbers count every box.
    """
    settings = {**settings, 'clean': clean}
    read = once(read)
    names = [f'{stem}.json'] if layout == 'coco' else [f'{stem}.jsonl', f'{stem}_label_map.json']
    for name in names:
        with prep.step(name, inputs, settings) as step:
            if step.done:
                continue
            detections = read(step)
            if name.endswith('_label_map.json'):
                step.count('classes', len(detections.categories))
                step.write_json({str(i): c['name'] for i, c in enumerate(detections.categories)})
                continue
            if clean:
                detections = replace(detections, boxes=clean_boxes(step, detections))
            if layout == 'coco':
                write_coco(step, detections)
            else:
                write_odvg(step, detections)


def clean_boxes(step: Step, detections: Detections) -> Boxes:
    """Boxes that training can use: in listed images, large enough, each once.

    Args:
        step: Counts what is dropped.
        detections: The set.

    Returns:
        Its boxes, clipped to their images, rounded to a hundredth of a pixel, and without those
        that have a side of at most `MIN_SIDE` pixels then. The area of a clipped box is that of
        what is left.
    """
    boxes = _drop(step, detections.boxes, _rows(detections) < 0, 'boxes of images not listed')
    sizes = np.array([(i['width'], i['height']) for i in detections.images.values()], np.float64)
    limits = sizes.reshape(-1, 2)[_rows(replace(detections, boxes=boxes))]
    start, end = boxes.xywh[:, :2], boxes.xywh[:, :2] + boxes.xywh[:, 2:]
    changed = (start < 0).any(1) | (end > limits).any(1)
    start = np.maximum(start, 0)
    xywh = np.round(np.where(changed[:, None], np.hstack([start, np.minimum(end, limits) - start]),
                             boxes.xywh), 2)
    areas = np.where(changed, xywh[:, 2] * xywh[:, 3], boxes.areas)
    boxes = replace(boxes, xywh=xywh, areas=areas)
    boxes = _drop(step, boxes, (xywh[:, 2:] <= MIN_SIDE).any(1), 'degenerate boxes')
    return _drop(step, boxes, _is_repeated(boxes), 'repeated boxes')


def write_coco(step: Step, detections: Detections) -> None:
    """Writes a COCO json, with ids and category records as in the source."""
    boxes = detections.boxes
    _count(step, detections, boxes)
    step.write_json({
        'images': ({'id': i, **image} for i, image in detections.images.items()),
        'annotations': _annotations(step, boxes),
        'categories': list(detections.categories),
    })


def write_odvg(step: Step, detections: Detections) -> None:
    """Writes a line per image. Labels are the ranks of the category ids.

    Lines cannot mark crowds, which training leaves out anyway: they are dropped here.
    """
    boxes = _drop(step, detections.boxes, detections.boxes.crowds, 'crowd boxes')
    _count(step, detections, boxes)
    rows = _rows(replace(detections, boxes=boxes))
    order = np.argsort(rows, kind='stable')
    ends = np.cumsum(np.bincount(rows, minlength=len(detections.images)))
    names = [category['name'] for category in detections.categories]
    ids = np.array([category['id'] for category in detections.categories])
    labels = np.searchsorted(ids, boxes.category_ids)

    def lines() -> Iterator[dict[str, Any]]:
        start = 0
        images = step.track(detections.images.values(), 'image', len(detections.images))
        for image, end in zip(images, ends, strict=True):
            chosen = order[start:end]
            start = end
            instances = [
                dict(bbox=[round(v, 2) for v in (x, y, x + w, y + h)], label=label,
                     category=names[label])
                for (x, y, w, h), label in zip(boxes.xywh[chosen].tolist(),
                                               labels[chosen].tolist(), strict=True)
            ]
            yield dict(filename=image['file_name'], height=image['height'], width=image['width'],
                       detection=dict(instances=instances))

    step.write_lines(lines())


def _rows(detections: Detections) -> np.ndarray:
    """(N,) int64: the place of each box's image among the images, or -1."""
    ids = np.array(list(detections.images), dtype=np.int64)
    order = np.argsort(ids)
    wanted = detections.boxes.image_ids
    if not len(ids):
        return np.full(len(wanted), -1)
    found = np.searchsorted(ids[order], wanted).clip(max=len(ids) - 1)
    return np.where(ids[order][found] == wanted, order[found], -1)


def _is_repeated(boxes: Boxes) -> np.ndarray:
    """(N,) bool: whether an earlier box has the same image, class and coordinates."""
    columns = (*boxes.xywh.T, boxes.category_ids, boxes.image_ids)
    order = np.lexsort(columns)  # stable: the first of equals stays first
    same = np.ones(max(len(boxes) - 1, 0), dtype=bool)
    for column in columns:
        same &= column[order][1:] == column[order][:-1]
    repeated = np.zeros(len(boxes), dtype=bool)
    repeated[order[1:]] = same
    return repeated


def _drop(step: Step, boxes: Boxes, mask: np.ndarray, reason: str) -> Boxes:
    number = int(mask.sum())
    if not number:
        return boxes
    for row in np.flatnonzero(mask)[:3]:
        step.drop(reason, f'annotation {boxes.ids[row]} of image {boxes.image_ids[row]}')
        number -= 1
    step.drop(reason, number=number)
    return boxes.take(~mask)


def _annotations(step: Step, boxes: Boxes) -> Iterator[dict[str, Any]]:
    for row in step.track(range(len(boxes)), 'box'):
        yield dict(id=int(boxes.ids[row]), image_id=int(boxes.image_ids[row]),
                   category_id=int(boxes.category_ids[row]),
                   bbox=boxes.xywh[row].tolist(), area=float(boxes.areas[row]),
                   iscrowd=int(boxes.crowds[row]))


def _count(step: Step, detections: Detections, boxes: Boxes) -> None:
    step.count('images', len(detections.images))
    step.count('boxes', len(boxes))
    step.count('classes', len(detections.categories))
    empty = len(detections.images) - len(np.unique(boxes.image_ids))
    if empty:
        step.count('images without boxes', empty)
