"""Files of referring expressions: one text and one box for each, as RefCOCO, RefCOCO+, RefCOCOg.

Two forms are read, both JSON. MDETR's (``finetune_refcoco_testA.json``, ``final_refexp_val.json``;
mmdet takes the same files): a record of ``images`` is one expression with its ``caption``, and has
one of the ``annotations``. And the list of references of the original release (Kazemzadeh et al.
2014, Mao et al. 2016) written as JSON, beside its ``instances.json``. The release itself holds a
pickle, which could run code of a stranger and is refused.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glipkit.data.formats.coco_json import CocoJson, read_coco_json, read_images, whole_number
from glipkit.data.formats.reading import as_box, read_json
from glipkit.errors import UserError

WHAT = 'a json of referring expressions'
_PICKLES = ('.p', '.pkl', '.pickle')
_AS_JSON = ("of a file that you trust, write python -c \"import json, pickle; json.dump("
            "pickle.load(open('refs(unc).p', 'rb')), open('refs.json', 'w'))\" once")


@dataclass(frozen=True)
class Expression:
    """One text and the object that it means.

    Args:
        text: The expression.
        image: Record of the image: ``file_name``, ``height`` and ``width``, these perhaps None.
        box: x1, y1, x2, y2 in pixels, exclusive right and bottom edge.
        data_set: Name of the data set that the file gives ('refcoco+'); '' where it gives none.
    """
    text: str
    image: Mapping[str, Any]
    box: tuple[float, float, float, float]
    data_set: str = ''


def read_expressions(ann_file: str | Path, instances_file: str | Path | None = None,
                     split: str | None = None) -> dict[int, Expression]:
    """Expressions of a file by their ids, in its order.

    Args:
        ann_file: MDETR's json, or the list of references as JSON.
        instances_file: COCO json with the boxes of these references; only for a list.
        split: 'val', 'testA', ...: the references of this split; only for a list.

    Returns:
        Id of the image record, or of the sentence (``sent_id``) -> its expression.

    Raises:
        UserError: A pickle, another structure, or a record that cannot be understood; names it.
    """
    if Path(ann_file).suffix in _PICKLES:
        raise UserError(f'{WHAT}: data, not a program', f'the pickle {ann_file}', _AS_JSON)
    content = read_json(ann_file, WHAT)
    if isinstance(content, list):
        if instances_file is None:
            raise UserError('instances_file, the COCO json with the boxes of a list of references',
                            f'{ann_file} alone', "pass the instances.json beside it")
        found = _of_references(content, str(ann_file), read_coco_json(instances_file), split)
    else:
        if instances_file is not None or split is not None:
            raise UserError('instances_file and split with a list of references only',
                            f'{ann_file}, which is none', 'leave them out')
        found = _of_captions(content, str(ann_file))
    if not found:
        raise UserError('at least one expression',
                        f'none in {ann_file}' + (f' of the split {split!r}' if split else ''),
                        'check the file and the split')
    return found


def _of_captions(content: Any, path: str) -> dict[int, Expression]:
    """Expressions of MDETR's layout."""
    lists = [content.get(key) if isinstance(content, dict) else None
             for key in ('images', 'annotations')]
    if not all(isinstance(value, list) for value in lists):
        raise UserError(f"{WHAT}: the lists 'images' and 'annotations', or a list of references",
                        path, 'check that this is the right file')
    images = read_images(path, lists[0])
    boxes: dict[int, tuple] = {}
    for i, record in enumerate(lists[1]):
        where = f'{path}: annotations[{i}]'
        image_id = whole_number(record, 'image_id', where)
        if image_id not in images:
            continue  # subsets are made by thinning out the images alone
        if image_id in boxes:
            raise UserError('one box for each expression', f'{where}: a second of {image_id}',
                            'read files of phrases with several boxes as mixed grounding')
        boxes[image_id] = _corners(record, where)
    without = [image_id for image_id in images if image_id not in boxes]
    if without:
        raise UserError('a box for each expression', f'{path}: none of image {without[0]}',
                        'remove the expression, or add its box')
    return {image_id: Expression(_text(image, 'caption', f'{path}: image {image_id}'), image,
                                 boxes[image_id], str(image.get('dataset_name') or ''))
            for image_id, image in images.items()}


def _of_references(records: list, path: str, coco: CocoJson,
                   split: str | None) -> dict[int, Expression]:
    """Expressions of the original release's list."""
    box_of = {record.get('id'): (record, i) for i, record in enumerate(coco.annotations)}
    found: dict[int, Expression] = {}
    for i, record in enumerate(records):
        where = f'{path}: [{i}]'
        number = whole_number(record, 'ann_id', where)
        if split is not None and record.get('split') != split:
            continue
        sentences = record.get('sentences')
        if number not in box_of or not isinstance(sentences, list):
            raise UserError(f'references with sentences and an ann_id of {coco.path}',
                            f'{where}: ann_id {number}', 'check that both files belong together')
        box, place = box_of[number]
        for sentence in sentences:
            sent_id = whole_number(sentence, 'sent_id', where)
            if sent_id in found:
                raise UserError('sentence ids that differ', f'{where}: sent_id {sent_id} again',
                                'give every sentence its own sent_id')
            found[sent_id] = Expression(
                _text(sentence, 'raw' if sentence.get('sent') is None else 'sent', where),
                coco.images[box['image_id']],
                _corners(box, f'{coco.path}: annotations[{place}]'))
    return found


def _corners(record: Mapping[str, Any], where: str) -> tuple[float, float, float, float]:
    x, y, w, h = as_box(record.get('bbox'), where, 'x, y, width, height')
    return x, y, x + w, y + h


def _text(record: Mapping[str, Any], key: str, where: str) -> str:
    text = record.get(key)
    if not isinstance(text, str) or not any(map(str.isalnum, text)):
        raise UserError('an expression with a letter or a digit', f'{where}: {key} {text!r}',
                        'correct the expression, or remove its record')
    return text
