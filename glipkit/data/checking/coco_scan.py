"""Checks of COCO and LVIS json files."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glipkit.data.checking.boxes import Size
from glipkit.data.checking.names import ClassTable
from glipkit.data.checking.scan import Scan, dump, parse
from glipkit.data.formats.coco_json import empty_super_categories, image_name, is_id
from glipkit.data.formats.read_once import keep
from glipkit.data.formats.reading import as_area, as_crowd
from glipkit.errors import UserError


class CocoScan(Scan):
    """COCO json: any whole numbers as ids, boxes xywh."""

    layout = 'xywh'
    lists = ('images', 'annotations', 'categories')
    can_merge = True
    homonyms_are_usual = False
    marks: tuple[str, ...] = ('iscrowd', )

    def records(self) -> Iterator[dict]:
        """One record: the whole file."""
        content = self.load()
        self.make_table(content)
        self._boxes_of_image: set[tuple] = set()
        sizes, kept_images = self._judge_images(content['images'])
        annotations = self._judge_annotations(content['annotations'], sizes)
        used = Counter(a['image_id'] for a in annotations if not a.get('iscrowd'))
        for i, image in enumerate(kept_images):
            self.note_empty(used[image['id']], self.place('images', i))
        yield {**content, 'images': kept_images, 'annotations': annotations,
               **self.kept_categories(content)}

    def place(self, key: str, number: int) -> str:
        """Where a record of a list stands, for the report."""
        return f'{key}[{number}]'

    def write(self, records: Iterator[Any], path: Path) -> None:
        """Writes the one record."""
        path.write_text(dump(next(records)), encoding='utf-8')
        next(records, None)

    def load(self) -> dict:
        """The file, with lists where lists belong."""
        path = self.data_file.path
        try:
            content = parse(path.read_bytes(), None if self.data_file.quick else self.findings,
                            path.name, self.lists)
        except OSError as error:
            raise UserError('an annotation file', f'{path}: {error.strerror}',
                            'check the path') from error
        except ValueError as error:
            raise UserError('a json file', f'{path}: {error}',
                            'repair the file or copy it again') from error
        keep(path, 'json', content)
        content = content if isinstance(content, dict) else {}
        missing = [key for key in self.lists if not isinstance(content.get(key), list)]
        if missing:
            raise UserError(f'a json with the lists {", ".join(map(repr, self.lists))}',
                            f'{path} without {", ".join(missing)}',
                            'check that this is the right file')
        return content

    def make_table(self, content: dict) -> None:
        """The classes, in ascending order of ids."""
        names: dict[int, Any] = {}
        for i, record in enumerate(content['categories']):
            category_id = whole(record, 'id')
            if category_id is None or category_id in names:
                self.findings.add('bad_category_id', f'categories[{i}]', record)
            else:
                names[category_id] = record.get('name')
        self._known = set(names)
        ordered = {i: names[i] for i in sorted(names)}
        if self.data_file.classes is not None:
            ordered = _subset(ordered, self.data_file.classes, self.data_file.path)
        else:
            for category_id in self._umbrellas(content):
                self.findings.add('super_category', f'class {category_id}',
                                  ordered.pop(category_id))
        self.table = ClassTable(ordered, self.data_file.settings, self.findings, self.remedy.merged)
        self.table.check('categories', self.homonyms_are_usual)

    def _umbrellas(self, content: dict) -> list[int]:
        """Ids of the classes that training leaves out, as its reader does."""
        used = {whole(a, 'category_id') for a in content['annotations']}
        records = {whole(record, 'id'): record for record in reversed(content['categories'])}
        records.pop(None, None)
        return sorted(empty_super_categories(list(records.values()), used))

    def kept_categories(self, content: dict) -> dict:
        """The list of categories of a cleaned copy."""
        seen: set[int] = set()
        kept = []
        for record in content['categories']:
            category_id = whole(record, 'id')
            known = category_id in self._known and category_id not in seen
            if known and category_id not in self.remedy.merged and (
                    self.table.usable(category_id) or category_id not in self.table.rows):
                kept.append(record)
            seen.add(category_id)
        return {'categories': kept}

    def file_name(self, record: dict) -> Any:
        """Name of an image's file, relative to the folder of images."""
        return image_name(record)

    def judge_image(self, record: dict, where: str) -> dict | None:
        """The image as a cleaned copy has it; None where training cannot use it."""
        return record

    def judge_category(self, record: dict, where: str) -> bool:
        """Whether the category of an annotation is listed, be its image or not."""
        if whole(record, 'category_id') in self._known:
            return True
        self.findings.add('unknown_category', where, f'category_id {record.get("category_id")!r}')
        return False

    def judge_annotation(self, record: dict, image: dict, size: Size, where: str) -> dict | None:
        """The annotation as a cleaned copy has it; None where training cannot use it."""
        category_id = whole(record, 'category_id')
        record = self.judged_values(record, where)
        if record is None:
            return None
        crowd = as_crowd(record.get('iscrowd'), where)
        box = self.boxes.judge(record.get('bbox'), size, where)
        if box is None:
            return None
        key = self.remedy.merged.get(category_id, category_id)
        asked_for = key in self.table.rows
        if asked_for and not crowd and self.table.usable(key):
            self.table.count(key)
        else:
            self.boxes.kept -= 1
        if crowd:
            self.findings.add('crowd', where)
        if not asked_for:
            return record
        if not self.table.usable(key):
            return None
        if not crowd and self._is_second(record['image_id'], key, box, where):
            return None
        if 'iscrowd' in record:
            record = {**record, 'iscrowd': int(crowd)}
        return {**record, 'bbox': box, 'category_id': key}

    def judged_values(self, record: dict, where: str) -> dict | None:
        """The annotation without marks and areas that say nothing; None where a mark says what
        nobody can understand."""
        bad = set()
        for key in self.marks:
            try:
                as_crowd(record.get(key), where, key)
            except UserError:
                empty = record[key] != record[key]  # NaN alone
                self.findings.add('empty_mark' if empty else 'broken_record', where,
                                  f'{key} {record[key]!r}')
                if not empty:
                    return None
                bad.add(key)
        try:
            as_area(record.get('area'), where)
        except UserError:
            self.findings.add('bad_area', where, f'area {record["area"]!r}')
            bad.add('area')
        return {key: value for key, value in record.items() if key not in bad} if bad else record

    def _is_second(self, image_id: int, category_id: int, box: list, where: str) -> bool:
        """Whether the same box of the same class was seen in the image before."""
        if self.data_file.quick:
            return False
        key = (image_id, category_id, *box)
        second = key in self._boxes_of_image
        self._boxes_of_image.add(key)
        if second:
            self.findings.add('same_box', where, f'image_id {image_id}, {box}')
        return second

    def _judge_images(self, records: list) -> tuple[dict[int, tuple[dict, Size]], list[dict]]:
        known: dict[int, tuple[dict, Size]] = {}
        kept = []
        self._left_out: set[int] = set()
        for i, record in enumerate(records):
            where = self.place('images', i)
            image_id = whole(record, 'id')
            name = self.file_name(record) if isinstance(record, dict) else None
            if image_id is None or not isinstance(name, str) or not name:
                self.findings.add('broken_record', where, record)
                if image_id is not None:
                    self._left_out.add(image_id)
                continue
            if image_id in known:
                self.findings.add('duplicate_image_id', where, f'id {image_id}')
                continue
            size = self.size(record, where)
            listed = self.list_image(name, size, where)
            cleaned = self.judge_image(record, where)
            if listed and cleaned is not None:
                known[image_id] = cleaned, size
                kept.append(self.without_bad_size(cleaned, size))
            else:
                self._left_out.add(image_id)
        return known, kept

    def _judge_annotations(self, records: list, images: dict) -> list[dict]:
        kept = []
        for i, record in enumerate(records):
            where = self.place('annotations', i)
            image_id = whole(record, 'image_id')
            if image_id is None:
                self.findings.add('broken_record', where, record)
            elif not self.judge_category(record, where):
                continue
            elif image_id not in images:
                if image_id not in self._left_out:
                    self.findings.add('orphan', where, f'image_id {image_id}')
            else:
                cleaned = self.judge_annotation(record, *images[image_id], where)
                if cleaned is not None:
                    kept.append(cleaned)
        return kept


class LvisScan(CocoScan):
    """LVIS json: as COCO, with names such as 'bow_(weapon)' and 'bow_(decorative_ribbons)'."""

    homonyms_are_usual = True
    marks = ('iscrowd', 'ignore')

    def judge_image(self, record: dict, where: str) -> dict | None:
        """Checks the lists that say what is known to be absent."""
        lists = {}
        for key in ('neg_category_ids', 'not_exhaustive_category_ids'):
            ids = record.get(key)
            if not isinstance(ids, list) or not all(type(i) is int for i in ids):
                self.findings.add('no_absence_list', where, f'{key}: {ids!r}')
                lists[key] = []
        return {**record, **lists}


def whole(record: Any, key: str) -> int | None:
    """A whole number of a record that can be an id; None where there is none."""
    value = record.get(key) if isinstance(record, dict) else None
    return value if is_id(value) else None


def _subset(names: dict[int, Any], wanted: tuple[str, ...], path: Path) -> dict[int, str]:
    id_of = {name: i for i, name in names.items() if isinstance(name, str)}
    absent = [name for name in wanted if name not in id_of]
    if absent:
        raise UserError(f'metainfo classes that {path} has', f'{absent}',
                        'spell them as in the file')
    return {id_of[name]: name for name in wanted}
