"""The published mixed grounding set without cut words, boxes outside, and test pictures."""
from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from glipkit.data.formats.coco_json import whole_number
from glipkit.data.formats.reading import as_size, clip_box
from glipkit.data.preparation.boxes import area, xywh
from glipkit.data.preparation.captions import whole_words
from glipkit.data.preparation.steps import Step
from glipkit.errors import UserError

_WHAT = 'a mixed grounding json'


class ReadyCleaner:
    """Streams a ready-made file and mends it. Ids of kept records stay as they are.

    Args:
        path: A final_mixed_train*.json.
        step: Takes counts and drops.
        excluded: COCO picture ids.
        no_coco: Leave all COCO pictures out.
    """

    def __init__(self, path: Path, step: Step, excluded: frozenset[int], no_coco: bool) -> None:
        self._path, self._step, self._excluded, self._no_coco = path, step, excluded, no_coco
        self._known: dict[int, tuple[str, int | None, int | None]] = {}
        self._used: set[int] = set()

    def read_images(self) -> None:
        """First pass: which captions may stay."""
        for image in self._records('images'):
            where = f'{self._path}: image {image.get("id")!r}'
            caption = image.get('caption')
            if not isinstance(caption, str) or type(image.get('id')) is not int:
                raise UserError(f'{_WHAT}: images with an id and a caption', where,
                                'check that this is the right file')
            from_coco = image.get('data_source') == 'coco'
            if from_coco and self._no_coco:
                self._step.drop('captions of COCO pictures')
            elif from_coco and _number(image.get('original_id')) in self._excluded:
                self._step.drop('captions of excluded pictures', f'image {image["id"]}')
            else:
                size = [as_size(image.get(side), where, side) for side in ('width', 'height')]
                self._known[image['id']] = (caption, *size)
        if not self._known and not self._step.dropped:
            raise UserError(f"{_WHAT} with a list 'images'", f'{self._path} without any',
                            'check that this is the right file')

    def annotations(self) -> Iterator[dict[str, Any]]:
        """Second pass: whole spans, boxes inside."""
        for record in self._records('annotations'):
            image_id = whole_number(record, 'image_id', f'{self._path}: an annotation')
            known = self._known.get(image_id)
            if known is None:
                self._step.drop('boxes of captions left out')
                continue
            caption, width, height = known
            where = f'annotation {record.get("id")!r}'
            spans = self._spans(caption, record.get('tokens_positive'), where)
            box = _box_of(record, width, height)
            if box is None:
                self._step.drop('boxes outside the picture or empty', where)
            elif not spans:
                self._step.drop('boxes without a phrase', where)
            else:
                self._used.add(image_id)
                self._step.count('boxes')
                yield {**record, 'bbox': xywh(box), 'area': area(box), 'tokens_positive': spans}

    def images(self) -> Iterator[dict[str, Any]]:
        """Third pass: the captions that have a box."""
        for image in self._records('images'):
            if image['id'] in self._used:
                self._step.count('captions')
                yield image
            elif image['id'] in self._known:
                self._step.drop('captions without any box', f'image {image["id"]}')

    def _spans(self, caption: str, spans: Any, where: str) -> list[list[int]]:
        kept = set()
        for span in spans if isinstance(spans, list) else ():
            fits = isinstance(span, list) and [type(n) for n in span] == [int, int]
            whole = whole_words(caption, *span) if fits else None
            if whole is None:
                self._step.drop('phrases that fit no word of the caption', f'{where}: {span}')
            else:
                kept.add(whole)
                self._step.count('phrases whose ends were moved',
                                 int(whole != _inner(caption, *span)))
        return [list(span) for span in sorted(kept)]

    def _records(self, key: str) -> Iterator[dict[str, Any]]:
        for name, record in self._step.read_json(self._path, _WHAT):
            if name == key and isinstance(record, dict):
                yield record


def clean_ready(step: Step, path: Path, excluded: frozenset[int], no_coco: bool) -> None:
    """Writes what `ReadyCleaner` leaves of a ready-made file; see there for the arguments."""
    cleaner = ReadyCleaner(path, step, excluded, no_coco)
    cleaner.read_images()
    # The boxes decide which captions stay, so they are written first.
    step.write_json(dict(annotations=cleaner.annotations(), images=cleaner.images(),
                         categories=[]))


def _number(value: Any) -> int | None:
    """An id, which some copies hold as a string."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if type(value) is int else None


def _inner(caption: str, start: int, end: int) -> tuple[int, int]:
    """A span without what is no word at its ends; those alone are not counted."""
    match = re.search(r'\w(.*\w)?', caption[start:end], re.DOTALL)
    return (start + match.start(), start + match.end()) if match else (start, end)


def _box_of(record: Mapping[str, Any], width: int | None, height: int | None):
    box = record.get('bbox')
    if not (isinstance(box, list) and len(box) == 4
            and all(type(side) in (int, float) and math.isfinite(side) for side in box)):
        return None
    x, y, w, h = box
    return clip_box([x, y, x + w, y + h], width, height)
