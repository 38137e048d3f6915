"""An LVIS annotation file as the ground truth of metrics."""
from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from glipkit.data.formats.coco_json import is_id
from glipkit.data.formats.reading import as_area, as_box, as_crowd, open_text, read_json
from glipkit.errors import UserError
from glipkit.evaluation.functional.federated import FREQUENCIES, FederatedTruth

_WHAT = 'an LVIS json'
_KEYS = ('images', 'annotations', 'categories')


def is_federated(path: str | Path) -> bool:
    """Whether a COCO or LVIS json says per image which classes are certainly absent.

    Raises:
        UserError: There is no such file.
    """
    with open_text(path, 'a COCO or LVIS json') as file:
        try:
            # Searching takes a tenth of a second, parsing ten seconds.
            return any('"neg_category_ids"' in line for line in file)
        except UnicodeDecodeError:
            return False  # the reader raises the error


def read_federated_json(path: str | Path) -> FederatedTruth:
    """Reads and checks an LVIS file (v1 val, minival, or any in its layout).

    The last file read is remembered: several metrics score one data set.

    Raises:
        UserError: Not such a file, or a record that cannot be understood; names the record.
    """
    try:
        status = os.stat(path)
        stamp = (status.st_mtime_ns, status.st_size)
    except OSError:
        stamp = (0, 0)  # the reader raises the error
    return _read(str(path), stamp)


@lru_cache(maxsize=1)
def _read(path: str, stamp: tuple[int, int]) -> FederatedTruth:
    content = read_json(path, _WHAT)
    missing = [key for key in _KEYS
               if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        raise UserError(f"{_WHAT} with the lists 'images', 'annotations' and 'categories'",
                        f'{path} without {", ".join(missing)}', 'check that this is the right file')
    class_ids = _ids(content['categories'], f'{path}: categories')
    image_ids = _ids(content['images'], f'{path}: images')
    for i, record in enumerate(content['categories']):
        if record.get('frequency') not in FREQUENCIES or not isinstance(record.get('name'), str):
            raise UserError("categories with a name and a frequency 'r', 'c' or 'f'",
                            f'{path}: categories[{i}]: {record.get("name")!r}, '
                            f'{record.get("frequency")!r}', 'use the LVIS v1 annotations')
    for i, record in enumerate(content['images']):
        for key in ('neg_category_ids', 'not_exhaustive_category_ids'):
            if not isinstance(record.get(key), list) or not all(
                    type(i) is int and i in class_ids for i in record[key]):
                raise UserError(f'images with {key}, a list of category ids',
                                f'{path}: images[{i}]: {str(record.get(key))[:80]}',
                                'use LVIS annotations; COCO ones are scored by GroundingCocoMetric')
    annotations = [
        _annotation(record, image_ids, class_ids, f'{path}: annotations[{i}]')
        for i, record in enumerate(content['annotations'])
    ]
    return FederatedTruth.from_records(content['images'], annotations, content['categories'])


def _ids(records: list, where: str) -> set[int]:
    ids = [record.get('id') if isinstance(record, dict) else None for record in records]
    if not ids or len(set(ids)) < len(ids) or not all(map(is_id, ids)):
        raise UserError('records with whole numbers of at most 64 bits as ids, each once',
                        f'{where}: none, or another structure', 'correct the ids')
    return set(ids)


def _annotation(record: Any, images: set[int], classes: set[int], where: str) -> dict:
    ids = [record.get(key) if isinstance(record, dict) else None
           for key in ('image_id', 'category_id')]
    if not all(type(i) is int for i in ids) or ids[0] not in images or ids[1] not in classes:
        raise UserError('annotations of the listed images and categories',
                        f'{where}: {str(record)[:80]}', 'correct or remove it')
    box = as_box(record.get('bbox'), where, 'x, y, width, height')
    area = as_area(record.get('area'), where)
    return dict(image_id=ids[0], category_id=ids[1], bbox=box,
                area=box[2] * box[3] if area is None else area,
                ignore=as_crowd(record.get('ignore'), where, 'ignore'))
