"""Visual Genome regions and RefCOCO expressions as sentences with boxes.

These sources and GQA number the same pictures in two ways. `PictureIndex` knows both,
so that a picture's sentences come together whatever their source.
"""
from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glipkit.data.formats.reading import as_size, clip_box
from glipkit.data.preparation.boxes import Box
from glipkit.data.preparation.captions import Sentence
from glipkit.data.preparation.steps import Step
from glipkit.errors import UserError
from glipkit.text.phrases import extract_phrases
from glipkit.text.structures import Span

Key = tuple[str, int]
"""A picture: 'coco' or 'vg', and its id there."""


@dataclass(frozen=True)
class Filed:
    """Where a picture is filed in the mixed set. Sizes in pixels.

    ``in_coco`` is True as well where it is filed under 'vg' for want of COCO's size of it.
    """
    data_source: str
    original_id: int
    file_name: str
    width: int
    height: int
    in_coco: bool
    excluded: bool

    def fit(self, sentence: Sentence) -> Sentence | None:
        """The sentence with its boxes clipped to the picture; None where one has no room in it."""
        regions = []
        for spans, box in sentence.regions:
            clipped = clip_box(list(box), self.width, self.height)
            if clipped is None:
                return None
            regions.append((spans, tuple(clipped)))
        return replace(sentence, regions=tuple(regions))


@dataclass(frozen=True)
class Reference:
    """Expressions for one object of COCO."""
    ann_id: int
    image_id: int
    texts: tuple[str, ...]


@dataclass(frozen=True)
class References:
    """A file of them: those for training, and the pictures of all others."""
    kept: tuple[Reference, ...]
    excluded: frozenset[int]


class PictureIndex:
    """Sizes and ids of the pictures, and which of them must stay out.

    A Visual Genome picture that `read_coco` has seen under its COCO id counts as COCO's, with its
    boxes rescaled to COCO's size of it; this is how MDETR files them.

    Args:
        excluded: COCO ids of pictures that must stay out.
    """

    def __init__(self, excluded: Iterable[int] = ()) -> None:
        self._excluded = set(excluded)
        self._coco: dict[int, tuple[str, int, int]] = {}
        self._vg: dict[int, tuple[int, int, int | None]] = {}
        self._objects: dict[int, tuple[int, Box]] = {}

    def exclude(self, coco_ids: Iterable[int]) -> None:
        """Keeps more COCO pictures out."""
        self._excluded.update(coco_ids)

    def read_coco(self, path: str | Path, step: Step, ann_ids: set[int]) -> None:
        """Learns the pictures of a COCO json, and the boxes of some annotations."""
        for key, record in step.read_json(path, 'a COCO json'):
            if key == 'images':
                where = f'{path}: image {record.get("id")!r}'
                width, height = _size(record, where)
                self._coco[record['id']] = (record['file_name'], width, height)
            elif key == 'annotations' and record.get('id') in ann_ids:
                box = read_box(record.get('bbox'))
                if box:
                    self._objects[record['id']] = (record['image_id'], box)
        if not self._coco:
            raise UserError('a COCO json with images', f'{path} without any', 'check the file')

    def read_vg(self, path: str | Path, step: Step) -> None:
        """Learns the pictures of Visual Genome's image_data.json."""
        for _, record in step.read_json(path, "Visual Genome's image_data.json"):
            if not isinstance(record, dict) or type(record.get('image_id')) is not int:
                raise UserError("Visual Genome's image_data.json", f'{path}: {record!r:.80}',
                                'check that this is the right file')
            where = f'{path}: image {record["image_id"]}'
            self._vg[record['image_id']] = (*_size(record, where), record.get('coco_id'))

    def place(self, vg_id: int) -> tuple[Key, float, float] | None:
        """The picture of a Visual Genome id and the factors of its boxes; None where unknown."""
        if vg_id not in self._vg:
            return None
        width, height, coco_id = self._vg[vg_id]
        if coco_id in self._coco:
            _, coco_width, coco_height = self._coco[coco_id]
            return ('coco', coco_id), coco_width / width, coco_height / height
        return ('vg', vg_id), 1., 1.

    def file(self, key: Key) -> Filed:
        """Where a picture is filed, by a key of `place` or of `sentences`."""
        source, number = key
        if source == 'coco':
            name, width, height = self._coco[number]
            return Filed('coco', number, name, width, height, True, number in self._excluded)
        width, height, coco_id = self._vg[number]
        return Filed('vg', number, f'{number}.jpg', width, height, coco_id is not None,
                     coco_id in self._excluded)

    def sentences(self, references: Iterable[Reference],
                  step: Step) -> Iterator[tuple[Key, Sentence]]:
        """The expressions as sentences; those without a picture or box are dropped."""
        for reference in references:
            image_id, box = self._objects.get(reference.ann_id, (None, None))
            if image_id != reference.image_id or image_id not in self._coco:
                step.drop('expressions without a box in --coco', f'object {reference.ann_id}',
                          len(reference.texts))
                continue
            for text in reference.texts:
                yield ('coco', image_id), Sentence(text, (((subject(text), ), box), ))


def subject(text: str) -> Span:
    """What a short description is about: its first noun phrase, or all of it."""
    phrases = extract_phrases(text)
    return tuple(phrases[0]) if phrases else (0, len(text))


def read_excluded_ids(paths: Sequence[str | Path], step: Step) -> frozenset[int]:
    """Ids of all images in COCO files."""
    found = set()
    for path in paths:
        ids = {record.get('id') for key, record in step.read_json(path, 'a COCO json')
               if key == 'images' and isinstance(record, dict)}
        if not ids:
            raise UserError('a COCO json with images to exclude', f'{path} without any',
                            'check the file')
        found |= ids
    return frozenset(found)


def read_refs(path: str | Path, step: Step) -> References:
    """RefCOCO, RefCOCO+ or RefCOCOg as json: the list that the published pickle holds.

    Each element has ``ann_id``, ``image_id``, ``split`` and ``sentences``, of which ``sent`` is
    read. The list may stand alone or under any key.

    Raises:
        UserError: Another structure.
    """
    kept, excluded = [], set()
    for _, record in step.read_json(path, 'RefCOCO expressions as json'):
        if not isinstance(record, dict) or not all(
                type(record.get(key)) is int for key in ('ann_id', 'image_id')) or (
                not isinstance(record.get('sentences'), list)):
            raise UserError('expressions with ann_id, image_id, split and sentences',
                            f'{path}: {record!r:.80}', 'see docs/preparation.md')
        if record.get('split') != 'train':
            excluded.add(record['image_id'])
            continue
        texts = (s.get('sent', '') if isinstance(s, dict) else str(s) for s in record['sentences'])
        single = dict.fromkeys(' '.join(text.split()) for text in texts)
        kept.append(Reference(record['ann_id'], record['image_id'],
                              tuple(text for text in single if _has_word(text))))
    return References(tuple(kept), frozenset(excluded))


def read_regions(path: str | Path, index: PictureIndex,
                 step: Step) -> Iterator[tuple[Key, list[Sentence]]]:
    """Visual Genome's region_descriptions.json, picture by picture.

    The box of a region is given to the first noun phrase of its description.

    Raises:
        UserError: Another structure.
    """
    for _, record in step.read_json(path, "Visual Genome's region_descriptions.json"):
        if not isinstance(record, dict) or not isinstance(record.get('regions'), list):
            raise UserError("Visual Genome's region_descriptions.json", f'{path}: {record!r:.80}',
                            'check that this is the right file')
        place = index.place(record.get('id'))
        if place is None:
            step.drop('pictures that are not in image_data.json', f'picture {record.get("id")}')
            continue
        key, *scale = place
        yield key, list(_region_sentences(record['regions'], scale, step))


def _region_sentences(regions: Sequence[Mapping[str, Any]], scale: Sequence[float],
                      step: Step) -> Iterator[Sentence]:
    for region in regions:
        where = f'region {region.get("region_id")}'
        text = ' '.join(str(region.get('phrase', '')).split())
        box = read_box([region.get(side) for side in ('x', 'y', 'width', 'height')], scale)
        if box is None or not _has_word(text):
            step.drop('regions without words or box', where)
        else:
            yield Sentence(text, (((subject(text), ), box), ))


def _size(record: Mapping[str, Any], where: str) -> tuple[int, int]:
    width, height = (as_size(record.get(side), where, side) for side in ('width', 'height'))
    if width is None or height is None:
        raise UserError('pictures with width and height', where, 'check the file')
    return width, height


def read_box(sides: Any, scale: Sequence[float] = (1., 1.)) -> Box | None:
    """xywh of a file to a box; None where it is none."""
    if not (isinstance(sides, list) and len(sides) == 4
            and all(type(side) in (int, float) and math.isfinite(side) for side in sides)):
        return None
    x, y, w, h = sides
    if w <= 0 or h <= 0:
        return None
    return x * scale[0], y * scale[1], (x + w) * scale[0], (y + h) * scale[1]


def _has_word(text: str) -> bool:
    return any(map(str.isalnum, text))
