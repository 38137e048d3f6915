"""A COCO annotation file, read once and checked; shared by the dataset and the metric."""
from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glipkit.data.formats.read_once import once
from glipkit.data.formats.reading import as_box, as_crowd, as_size, clip_box, read_json
from glipkit.errors import UserError
from glipkit.text.prompts import class_prompt


@dataclass(frozen=True)
class CocoJson:
    """Contents of a COCO file.

    Args:
        path: Path of the file.
        images: Image id -> its record, in the order of the file; ``height`` and ``width`` are
            whole numbers or None; ``file_name`` is that of `image_name`.
        annotations: Records with a ``bbox`` of four floats xywh, ``iscrowd`` as 0 or 1, and a
            known category.
        classes: Category id -> name, in ascending order of ids; names differ.
        orphans: Number of annotations left out because their image is not in the file.
        umbrellas: Ids of `empty_super_categories`.
    """
    path: str
    images: Mapping[int, dict]
    annotations: list[dict]
    classes: Mapping[int, str]
    orphans: int
    umbrellas: frozenset[int] = frozenset()

    @property
    def real_classes(self) -> dict[int, str]:
        """Category id -> name of the classes that are asked for unless somebody chooses others."""
        return {i: name for i, name in self.classes.items() if i not in self.umbrellas}

    def examples(self) -> list[dict]:
        """Annotations that training can use: no crowds, no boxes of which nothing is in the image.
        """
        return [record for record in self.annotations if not record.get('iscrowd')
                and box_in_image(record, self.images[record['image_id']])]

    @property
    def id_of_name(self) -> dict[str, int]:
        """Class name -> category id."""
        return {name: category_id for category_id, name in self.classes.items()}


def read_coco_json(path: str | Path, need_annotations: bool = True) -> CocoJson:
    """Reads and checks a COCO file. Any category ids will do, with gaps, from 0 or from 1.

    Inside `files_read_once` that happens once, and its content is shared.

    Args:
        path: The file.
        need_annotations: Whether a file without the key 'annotations' is an error (the public
            test sets have none).

    Raises:
        UserError: Not such a file, or a record that cannot be understood; names the record.
    """
    content = read_json(path, 'a COCO json')
    required = ['images', 'categories', *(['annotations'] if need_annotations else [])]
    if not isinstance(content, dict):
        content = {}
    missing = [key for key in required if not isinstance(content.get(key), list)]
    if missing:
        raise UserError("a COCO json with the lists 'images', 'annotations' and 'categories'",
                        f'{path} without {", ".join(missing)}', 'check that this is the right file')
    return replace(once(path, 'coco', lambda: _checked(path, content)), path=str(path))


def _checked(path: str | Path, content: Mapping[str, Any]) -> CocoJson:
    images = read_images(path, content['images'])
    classes = _classes(path, content['categories'])
    annotations, orphans = _annotations(path, content.get('annotations') or [], images, classes)
    umbrellas = empty_super_categories(content['categories'],
                                       {record['category_id'] for record in
                                        content.get('annotations') or []})
    return CocoJson(str(path), images, annotations, classes, orphans, umbrellas)


def empty_super_categories(records: list[Mapping[str, Any]], used: Container[int]
                           ) -> frozenset[int]:
    """Ids of categories without a box that are the super-category of another one.

    Some tools write the name of the whole project as a category of its own. Where no category has
    a box, nothing can be told.

    Args:
        records: The list 'categories', with whole numbers as ids.
        used: Category ids of all boxes.
    """
    if not any(record['id'] in used for record in records):
        return frozenset()
    kinds = Counter(name for record in records
                    if isinstance(name := record.get('supercategory'), str))
    return frozenset(
        record['id'] for record in records
        if record['id'] not in used and isinstance(name := record.get('name'), str)
        and kinds[name] > (record.get('supercategory') == name))


def box_in_image(record: Mapping[str, Any], image: Mapping[str, Any]) -> list[float] | None:
    """The box of an annotation as xyxy, clipped to its image; None where nothing is left."""
    x, y, w, h = record['bbox']
    return clip_box([x, y, x + w, y + h], image.get('width'), image.get('height'))


def read_images(path: str | Path, records: list) -> dict[int, dict]:
    """Checks the list 'images': id -> record, with sizes as whole numbers or None.

    Raises:
        UserError: An id that is missing or there twice, no file name, a size that is none.
    """
    images: dict[int, dict] = {}
    for i, record in enumerate(records):
        where = f'{path}: images[{i}]'
        image_id = _new_id(record, where, images, 'image')
        name = image_name(record)
        if not isinstance(name, str) or not name:
            raise UserError('an image with a file_name', f'{where}: {name!r}', 'add the file_name')
        images[image_id] = {
            **record,
            'file_name': name,
            'height': as_size(record.get('height'), where, 'height'),
            'width': as_size(record.get('width'), where, 'width')
        }
    return images


def image_name(record: Mapping[str, Any]) -> Any:
    """Name of an image's file, relative to the folder of images; whatever stands there if no text.

    Files written on Windows part folders by backslashes, which other systems do not know. Without
    ``file_name``, as in LVIS, it is the last two parts of ``coco_url``.
    """
    name, url = record.get('file_name'), record.get('coco_url')
    if name is None and isinstance(url, str):
        return '/'.join(url.split('/')[-2:])
    return name.replace('\\', '/') if isinstance(name, str) else name


def _classes(path: str | Path, records: list) -> dict[int, str]:
    classes: dict[int, str] = {}
    for i, record in enumerate(records):
        where = f'{path}: categories[{i}]'
        category_id = _new_id(record, where, classes, 'category')
        classes[category_id] = record.get('name')
    check_names([classes[i] for i in sorted(classes)], f'{path}: categories')
    return {i: classes[i] for i in sorted(classes)}


def _new_id(record: dict, where: str, known: Container[int], kind: str) -> int:
    number = whole_number(record, 'id', where)
    if number in known:
        raise UserError(f'{kind} ids that differ', f'{where}: id {number} again',
                        f'give every {kind} its own id')
    return number


def _annotations(path: str | Path, records: list, images: Mapping[int, dict],
                 classes: Mapping[int, str]) -> tuple[list[dict], int]:
    kept, orphans = [], 0
    for i, record in enumerate(records):
        where = f'{path}: annotations[{i}]'
        image_id = whole_number(record, 'image_id', where)
        category_id = whole_number(record, 'category_id', where)
        if category_id not in classes:
            raise UserError('annotations of the listed categories',
                            f'{where}: category_id {category_id}',
                            'add the category or remove its annotations')
        if image_id not in images:
            # Subsets are often made by thinning out the images alone; pycocotools skips these too.
            orphans += 1
            continue
        kept.append({**record, 'bbox': as_box(record.get('bbox'), where, 'x, y, width, height'),
                     'iscrowd': int(as_crowd(record.get('iscrowd'), where))})
    return kept, orphans


def check_names(names: list[Any], where: str) -> None:
    """Refuses class names that cannot stand in one prompt.

    Raises:
        UserError: None at all, one twice, not a string, or without letter and digit.
    """
    try:
        class_prompt(names)
    except UserError as error:
        raise UserError(error.expected, f'{where}: {error.got}', error.fix) from error


def whole_number(record: Any, key: str, where: str) -> int:
    """The whole number under a key of a record, of at most 64 bits with its sign.

    Raises:
        UserError: There is none.
    """
    value = record.get(key) if isinstance(record, dict) else None
    if not is_id(value):
        raise UserError(f'a record with a whole number {key!r} of at most 64 bits',
                        f'{where}: {value!r}', f'give it a whole number {key!r}')
    return value


def is_id(value: Any) -> bool:
    """Whether a value is a whole number that arrays of ids can hold."""
    return type(value) is int and -1 << 63 <= value < 1 << 63
