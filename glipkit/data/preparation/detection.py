"""Detection sources as they are read: images with their records, boxes in columns."""
from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.data.formats.coco_json import whole_number
from glipkit.data.formats.reading import as_box, as_crowd, as_size
from glipkit.data.preparation.json_stream import stream_json
from glipkit.data.preparation.steps import Step
from glipkit.errors import UserError

_COCO = 'a COCO json'


@dataclass(frozen=True)
class Boxes:
    """N boxes in columns: 65 bytes each, where a COCO record takes about 800 as objects.

    Args:
        ids: (N,) int64 ids of the annotations.
        image_ids: (N,) int64.
        category_ids: (N,) int64.
        xywh: (N, 4) float64, pixels of the image, exclusive right and bottom edge.
        areas: (N,) float64 square pixels; of the mask where the source has one.
        crowds: (N,) bool: several objects in one box.
    """
    ids: np.ndarray
    image_ids: np.ndarray
    category_ids: np.ndarray
    xywh: np.ndarray
    areas: np.ndarray
    crowds: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: np.ndarray) -> Boxes:
        """The boxes that a mask or an array of row numbers picks."""
        return Boxes(*(getattr(self, field.name)[index] for field in fields(self)))


class BoxBuilder:
    """Collects boxes one by one without an object for each."""

    def __init__(self) -> None:
        self._ids, self._images, self._categories = array('q'), array('q'), array('q')
        self._xywh, self._areas, self._crowds = array('d'), array('d'), array('b')

    def add(self, image_id: int, category_id: int, xywh: Sequence[float], crowd: bool = False,
            box_id: int | None = None, area: float | None = None) -> None:
        """Appends a box.

        Args:
            image_id: Id of its image.
            category_id: Id of its class.
            xywh: x, y, width, height in pixels.
            crowd: Whether it stands for several objects.
            box_id: None numbers the boxes from 1.
            area: None takes that of the box.
        """
        self._ids.append(len(self._ids) + 1 if box_id is None else box_id)
        self._images.append(image_id)
        self._categories.append(category_id)
        self._xywh.extend(xywh)
        self._areas.append(xywh[2] * xywh[3] if area is None else area)
        self._crowds.append(crowd)

    def build(self) -> Boxes:
        """All of them as arrays; nothing can be added afterwards."""
        return Boxes(*map(np.asarray, (self._ids, self._images, self._categories)),
                     np.asarray(self._xywh).reshape(-1, 4), np.asarray(self._areas),
                     np.asarray(self._crowds).astype(bool))


@dataclass(frozen=True)
class Detections:
    """A detection set.

    Args:
        images: Image id -> ``file_name``, ``width``, ``height`` and what else an output shall hold.
        categories: Records with ``id`` and ``name``, in ascending order of ids.
        boxes: All boxes; their image ids need not be listed in ``images``.
    """
    images: Mapping[int, Mapping[str, Any]]
    categories: Sequence[Mapping[str, Any]]
    boxes: Boxes

    def select(self, ids: Collection[int], keep: bool) -> Detections:
        """Only the images of these ids, or only the others, with their boxes."""
        images = {i: image for i, image in self.images.items() if (i in ids) == keep}
        gone = np.array(sorted(self.images.keys() - images.keys()), dtype=np.int64)
        return replace(self, images=images,
                       boxes=self.boxes.take(~np.isin(self.boxes.image_ids, gone)))


def own_file_name(record: Mapping[str, Any]) -> str | None:
    """The file name that a COCO image record gives; None where it has none."""
    return record.get('file_name')


def image_record(file_name: Any, sizes: Mapping[str, Any], where: str) -> dict[str, Any]:
    """``file_name``, ``width`` and ``height`` of an image, checked.

    Args:
        file_name: Value in the source.
        sizes: Record with ``width`` and ``height`` in pixels.
        where: File and record, for the error.

    Raises:
        UserError: One of the three is missing or not valid.
    """
    if not isinstance(file_name, str) or not file_name:
        raise UserError('an image with a file name', f'{where}: {file_name!r}', 'add it')
    width, height = (as_size(sizes.get(key), where, key) for key in ('width', 'height'))
    if width is None or height is None:
        raise UserError('an image with width and height', where, 'add them')
    return {'file_name': file_name, 'width': width, 'height': height}


def read_coco(step: Step, path: str | Path, image_keys: Sequence[str] = (),
              file_name: Callable[[Mapping[str, Any]], str | None] = own_file_name) -> Detections:
    """Streams a COCO-like json (COCO, LVIS, Objects365) without its masks.

    Args:
        step: Step that shows the bar.
        path: Path of the file.
        image_keys: Keys of an image to keep beside ``file_name``, ``width`` and ``height``.
        file_name: Function from an image record to the file, relative to the image folder.

    Raises:
        UserError: The file is damaged, a list is missing, or a record cannot be understood.
    """
    images: dict[int, dict[str, Any]] = {}
    categories: dict[int, dict[str, Any]] = {}
    boxes, seen = BoxBuilder(), dict.fromkeys(('images', 'annotations', 'categories'), 0)
    for key, record in step.read_json(path, _COCO):
        if key not in seen:
            continue
        where = f'{path}: {key}[{seen[key]}]'
        seen[key] += 1
        if not isinstance(record, dict):
            raise UserError('a COCO json with records', f'{where}: {record!r}', 'repair the file')
        if key == 'annotations':
            _add_annotation(boxes, record, where)
        elif key == 'images':
            image_id = whole_number(record, 'id', where)
            if image_id in images:
                raise UserError('image ids that differ', f'{where}: id {image_id} again',
                                'give every image its own id')
            kept = {name: record[name] for name in image_keys if name in record}
            images[image_id] = image_record(file_name(record), record, where) | kept
        else:
            category_id = whole_number(record, 'id', where)
            if category_id in categories or not isinstance(record.get('name'), str):
                raise UserError('categories with a name each and ids that differ',
                                f'{where}: id {category_id}, name {record.get("name")!r}',
                                'repair the file')
            categories[category_id] = record
    empty = [key for key, number in seen.items() if not number]
    if empty:
        raise UserError("a COCO json with 'images', 'annotations' and 'categories'",
                        f'{path} with nothing in {", ".join(empty)}', 'check that this is the '
                        'right file')
    known, built = np.array(list(categories)), boxes.build()
    strange = ~np.isin(built.category_ids, known)
    if strange.any():
        first = int(np.flatnonzero(strange)[0])
        raise UserError('annotations of the listed categories',
                        f'{path}: annotation {built.ids[first]} of category '
                        f'{built.category_ids[first]}', 'add the category or remove them')
    return Detections(images, [categories[i] for i in sorted(categories)], built)


def read_image_ids(path: str | Path) -> set[int]:
    """Ids of the images of a COCO-like json, or of a plain json list of ids.

    Raises:
        UserError: The file is damaged or holds no image.
    """
    ids = set()
    for key, value in stream_json(path, 'a json with image ids', f'ids of {path}'):
        if key == 'images' and isinstance(value, dict):
            value = value.get('id')
        elif key:
            continue
        if isinstance(value, int):
            ids.add(value)
    if not ids:
        raise UserError("a json with 'images', or a list of image ids", f'{path} without any',
                        'check that this is the right file')
    return ids


def leave_out(step: Step, detections: Detections, files: Sequence[str | Path]) -> Detections:
    """Without the images whose ids these files hold (`read_image_ids`).

    Raises:
        UserError: A file is damaged, or no image is left.
    """
    ids = set().union(*map(read_image_ids, files))
    left = detections.select(ids, keep=False)
    gone = len(detections.images) - len(left.images)
    if gone:
        step.drop('images left out as asked for', number=gone)
    if not left.images:
        raise UserError('images that remain', f'none after leaving out those of {files[0]}',
                        'check that --leave-out names another set')
    return left


def _add_annotation(boxes: BoxBuilder, record: Mapping[str, Any], where: str) -> None:
    area = record.get('area')
    boxes.add(whole_number(record, 'image_id', where), whole_number(record, 'category_id', where),
              as_box(record.get('bbox'), where, 'x, y, width, height'),
              as_crowd(record.get('iscrowd'), where),
              whole_number(record, 'id', where) if 'id' in record else None,
              float(area) if isinstance(area, (int, float)) and math.isfinite(area) else None)
