"""Files of described objects: each image is asked for some descriptions, each with any boxes.

Two forms are read. The Description Detection Dataset, D3 (arXiv 2307.12813), as COCO json whose
categories are sentences (``d3_full_annotations.json``), with the groups of images and sentences in
a json of their own. And OmniLabel (arXiv 2304.11463): ``images``, ``descriptions`` with the
images that each is asked of, ``annotations`` with ``description_ids``.
"""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glipkit.data.formats.coco_json import is_id, read_images, whole_number
from glipkit.data.formats.reading import as_area, as_box, as_crowd, read_json
from glipkit.errors import UserError

WHAT = 'a json of described objects'
#: Kinds of descriptions that OmniLabel tells apart.
CATEGORY, SENTENCE = 'object_category', 'object_description'
_AS_JSON = ("of a file that you trust, write python -c \"import json, pickle; json.dump(pickle.load"
            "(open('groups.pkl', 'rb')), open('groups.json', 'w'), default=lambda v: v.tolist())\" "
            "once")


@dataclass(frozen=True)
class Descriptions:
    """Contents of a file of described objects.

    Args:
        path: Path of the file.
        images: Image id -> its record, in the order of the file.
        texts: Description id -> its text, in the order of the file.
        asked: Image id -> ids of the descriptions that the image is asked for, in their order.
        annotations: Records with ``image_id``, ``description_ids``, ``bbox`` xywh in pixels,
            ``area`` or None, and ``iscrowd`` as 0 or 1.
        kinds: Description id -> `CATEGORY` or `SENTENCE`; empty where the file has one kind.
    """
    path: str
    images: Mapping[int, dict]
    texts: Mapping[int, str]
    asked: Mapping[int, tuple[int, ...]]
    annotations: list[dict]
    kinds: Mapping[int, str] = field(default_factory=dict)

    def labels(self, image_id: int) -> dict[str, list[int]]:
        """Text -> ids of the descriptions of an image that read so; each text is asked once."""
        labels: dict[str, list[int]] = defaultdict(list)
        for number in self.asked[image_id]:
            if _has_word(self.texts[number]):
                labels[self.texts[number]].append(number)
        return labels

    def wordless(self, image_id: int) -> list[int]:
        """Ids of the descriptions of an image that have no letter and no digit: no prompt can hold
        them."""
        return [number for number in self.asked[image_id] if not _has_word(self.texts[number])]


def read_descriptions(ann_file: str | Path, groups_file: str | Path | None = None
                      ) -> Descriptions:
    """Reads and checks a file of described objects; its content tells which form it has.

    Args:
        ann_file: OmniLabel's json, or a COCO json whose categories are sentences.
        groups_file: For the latter: json of the groups, a list or a mapping of records with
            ``img_id`` and ``inner_sent_id`` (lists of ids), as D3's toolkit has them. An image is
            asked for the sentences of its groups alone (D3's intra-scenario setting). None: every
            image is asked for all sentences (inter-scenario).

    Raises:
        UserError: A pickle, another structure, or a record that cannot be understood; names it.
    """
    for path in (ann_file, groups_file):
        if path is not None and Path(path).suffix in ('.pkl', '.pickle', '.p'):
            raise UserError(f'{WHAT}: data, not a program', f'the pickle {path}', _AS_JSON)
    content = read_json(ann_file, WHAT)
    content = content if isinstance(content, dict) else {}
    form = 'descriptions' if 'descriptions' in content else 'categories'
    missing = [key for key in ('images', 'annotations', form)
               if not isinstance(content.get(key), list)]
    if missing:
        raise UserError(f"{WHAT} with the lists 'images', 'annotations' and 'descriptions' or "
                        "'categories'", f'{ann_file} without {", ".join(missing)}',
                        'check that this is the right file; test sets without boxes cannot be '
                        'scored here')
    if form == 'categories':
        return _sentences(str(ann_file), content, groups_file)
    if groups_file is not None:
        raise UserError('groups_file with a COCO json of sentences', f'{ann_file}, which is none',
                        'leave it out: this file says what each image is asked for')
    return _omnilabel(str(ann_file), content)


def _sentences(path: str, content: Mapping[str, list],
               groups_file: str | Path | None) -> Descriptions:
    images = read_images(path, content['images'])
    texts = _texts(content['categories'], f'{path}: categories', 'name')
    ids = tuple(texts)
    asked = dict.fromkeys(images, ids) if groups_file is None else _grouped(groups_file, images,
                                                                            texts)
    return Descriptions(path, images, texts, asked, [
        {**record, 'description_ids': (record['category_id'], )} for record in _annotations(
            content['annotations'], path, images,
            lambda record, where: (whole_number(record, 'category_id', where), ), texts)])


def _grouped(path: str | Path, images: Mapping[int, dict],
             texts: Mapping[int, str]) -> dict[int, tuple[int, ...]]:
    """Image id -> sentences of its groups, ascending; images without a group are left out."""
    content = read_json(path, 'a json of groups')
    groups = list(content.values()) if isinstance(content, dict) else content
    asked: dict[int, set[int]] = defaultdict(set)
    for i, group in enumerate(groups if isinstance(groups, list) else ()):
        members, sentences = (_ids(group, key, f'{path}: group {i}')
                              for key in ('img_id', 'inner_sent_id'))
        for image_id in members:
            asked[image_id].update(s for s in sentences if s in texts)
    found = {image_id: tuple(sorted(asked[image_id])) for image_id in images if asked[image_id]}
    if not found:
        raise UserError('groups with img_id and inner_sent_id of the listed images and sentences',
                        f'none in {path}', 'check that both files belong together')
    return found


def _omnilabel(path: str, content: Mapping[str, list]) -> Descriptions:
    images = read_images(path, content['images'])
    texts = _texts(content['descriptions'], f'{path}: descriptions', 'text')
    asked: dict[int, list[int]] = {image_id: [] for image_id in images}
    kinds = {}
    for i, record in enumerate(content['descriptions']):
        where = f'{path}: descriptions[{i}]'
        info = record.get('anno_info')
        kind = info.get('type') if isinstance(info, dict) else None
        if not isinstance(kind, str):
            raise UserError(f"descriptions with anno_info: {{'type': {SENTENCE!r}}} or another "
                            'type', f'{where}: {info!r}', 'check that this is the right file')
        # As the benchmark's own code: what is no sentence is a category.
        kinds[record['id']] = SENTENCE if kind == SENTENCE else CATEGORY
        for image_id in _ids(record, 'image_ids', where):
            if image_id in asked:
                asked[image_id].append(record['id'])
    return Descriptions(
        path, images, texts, {image_id: tuple(ids) for image_id, ids in asked.items() if ids},
        _annotations(content['annotations'], path, images,
                     lambda record, where: _ids(record, 'description_ids', where), texts), kinds)


def _texts(records: list, where: str, key: str) -> dict[int, str]:
    texts: dict[int, str] = {}
    for i, record in enumerate(records):
        number = whole_number(record, 'id', f'{where}[{i}]')
        text = record.get(key)
        if number in texts or not isinstance(text, str):
            raise UserError(f'records with an id of their own and a {key}',
                            f'{where}[{i}]: id {number}, {key} {text!r}', 'correct the record')
        texts[number] = text
    return texts


def _annotations(records: list, path: str, images: Mapping[int, dict], ids_of: Any,
                 texts: Mapping[int, str]) -> list[dict]:
    """Checked annotations of the listed images."""
    kept = []
    for i, record in enumerate(records):
        where = f'{path}: annotations[{i}]'
        image_id = whole_number(record, 'image_id', where)
        ids = tuple(ids_of(record, where))
        unknown = [number for number in ids if number not in texts]
        if unknown:
            raise UserError('annotations of the listed descriptions', f'{where}: {unknown[0]}',
                            'add the description or remove its annotations')
        if image_id in images:
            kept.append({**record, 'description_ids': ids,
                         'bbox': as_box(record.get('bbox'), where, 'x, y, width, height'),
                         'area': as_area(record.get('area'), where),
                         'iscrowd': int(as_crowd(record.get('iscrowd'), where))})
    return kept


def _has_word(text: str) -> bool:
    return any(map(str.isalnum, text))


def _ids(record: Any, key: str, where: str) -> list[int]:
    ids = record.get(key) if isinstance(record, dict) else None
    if not isinstance(ids, list) or not all(map(is_id, ids)):
        raise UserError(f'a record with {key}, a list of whole numbers', f'{where}: {ids!r}'[:120],
                        'correct the record')
    return ids
