"""labelme: a json file per image, with rectangles and outlines in pixels."""
from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from glipkit.common.reporter import track
from glipkit.data.formats.box_sets.structures import (
    Box,
    BoxedImage,
    BoxSet,
    DataSet,
    ImageFinder,
    classes_by_name,
    image_size,
    iterate_parts,
    name_of,
)
from glipkit.data.formats.reading import as_size
from glipkit.errors import UserError

#: Shapes that have a box, and the number of points that they need.
_SHAPES = {'rectangle': 2, 'mask': 2, 'circle': 2, 'polygon': 3, 'rotation': 3}

#: Bytes of a file of one image, which may be inside it.
_LARGEST = 1 << 26


def read_labelme(root: Path) -> DataSet:
    """Reads all json files of a folder and those inside it that hold ``shapes``.

    Folders called train, val and test tell the parts. Shapes of one label with the same
    ``group_id`` are one thing; points and lines have no box and are left out.
    """
    finder, parts = ImageFinder(root), {}
    for part, files in iterate_parts(root, '.json'):
        own = BoxSet('labelme', root, root)
        for path in track(files, 'reading annotations', unit='file'):
            image = _read(own, path, finder)
            if image is not None:
                own.images.append(image)
        if own.images or own.problems:
            parts[part] = own
    return DataSet('labelme', parts, classes_by_name(parts))


def is_labelme(path: Path) -> bool:
    """Whether a json file is an annotation of this format."""
    try:
        if path.stat().st_size > _LARGEST:
            return False
        content = json.loads(path.read_bytes().decode('utf-8-sig'))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and isinstance(content.get('shapes'), list)


def _read(own: BoxSet, path: Path, finder: ImageFinder) -> BoxedImage | None:
    place = name_of(path, own.root)
    try:
        text = path.read_bytes().decode('utf-8-sig')
        content = json.loads(text)
    except OSError as error:
        own.note('broken_record', place, error.strerror)
        return None
    except (ValueError, RecursionError) as error:
        own.note('broken_record', place, str(error) or 'nested too deeply')
        return None
    if not isinstance(content, dict) or not isinstance(content.get('shapes'), list):
        own.note('foreign_json', place, "a json without the list 'shapes'")
        return None
    named = content.get('imagePath')
    image_path = finder.find(named if isinstance(named, str) else '', path)
    image = BoxedImage(image_path, place, _size(content, image_path))
    groups: dict[tuple, list[Box]] = {}
    for number, shape in enumerate(content['shapes']):
        where = f'{place}: shapes[{number}]'
        box = _box(own, shape, where)
        if box is not None:
            group = shape.get('group_id')
            groups.setdefault((box.key, number if group is None else f'group {group}'),
                              []).append(box)
    image.boxes += [_around(boxes) for boxes in groups.values()]
    return image


def _size(content: dict, image: Path) -> tuple[int | None, int | None]:
    try:
        sides = [as_size(content.get(key), '', key) for key in ('imageWidth', 'imageHeight')]
    except UserError:
        sides = [None]
    return (sides[0], sides[1]) if None not in sides else image_size(image) or (None, None)


def _box(own: BoxSet, shape: Any, where: str) -> Box | None:
    name = shape.get('label') if isinstance(shape, dict) else None
    if not isinstance(name, str) or not name.strip():
        own.note('broken_record', where, 'a shape without a label')
        return None
    kind = shape.get('shape_type') or 'polygon'
    if kind not in _SHAPES:
        own.note('other_shape', where, f'{kind} of {name}')
        return None
    points = _points(shape.get('points'))
    if points is None or len(points) < _SHAPES[kind]:
        own.note('bad_box', where, shape.get('points'))
        return None
    if kind == 'circle':  # its centre and a point on it
        (x, y), (u, v) = points[:2]
        radius = math.hypot(u - x, v - y)
        points = [(x - radius, y - radius), (x + radius, y + radius)]
    if kind in ('polygon', 'circle', 'rotation'):
        own.note('outline', where, f'{kind} of {name}')
    xs, ys = zip(*points)
    x1, y1 = min(xs), min(ys)
    return Box(name.strip(), [x1, y1, max(xs) - x1, max(ys) - y1], where)


def _points(value: Any) -> list[tuple[float, float]] | None:
    try:
        points = [(float(x), float(y)) for x, y in value]
    except (TypeError, ValueError, OverflowError):
        return None
    return points if all(map(math.isfinite, (v for point in points for v in point))) else None


def _around(boxes: list[Box]) -> Box:
    """The box around all parts of one thing."""
    if len(boxes) == 1:
        return boxes[0]
    x1, y1 = (min(box.xywh[axis] for box in boxes) for axis in (0, 1))
    x2, y2 = (max(box.xywh[axis] + box.xywh[axis + 2] for box in boxes) for axis in (0, 1))
    return boxes[0]._replace(xywh=[x1, y1, x2 - x1, y2 - y1])
