"""Detections of many images in the formats of other programs, written while they are made."""
from __future__ import annotations

import csv
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import yaml

from glipkit.apis.class_lists import read_classes
from glipkit.apis.detections import ROW_KEYS, Detections
from glipkit.apis.prediction_writer import Writer
from glipkit.apis.prediction_writer import image_names as image_names  # callers find both here
from glipkit.errors import UserError
from glipkit.files import write_text

#: First line of a data.yaml, by which it is known again.
_ABOUT = '# The images of labels/a/1.txt belong in images/a/.'
#: What XML 1.0 cannot hold, escaped or not.
_NOT_XML = re.compile('[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')


def write_predictions(detections: Iterable[Detections], names: Sequence[str | None], out: Path,
                      form: str, classes: Sequence[str] = ()) -> Path:
    """Writes the detections of images in one of `FORMATS`.

    Args:
        detections: One per image; may be made while they are written.
        names: Of each image, its file's name, with folders where there are some: `image_names`
            makes them. None takes the path of the detections.
        out: Folder of the result; made where there is none.
        form: One of `FORMATS`.
        classes: Names that the result lists even where no image was asked for them.

    Returns:
        The file, or ``out`` for the formats of many files.

    Raises:
        UserError: No such format, or nothing can be written there.
    """
    with open_writer(form, out, classes) as writer:
        writer.begin()
        for found, name in zip(detections, names):
            writer.add(found, name)
    return writer.place


def open_writer(form: str, folder: Path, classes: Sequence[str] = ()) -> Writer:
    """The writer of one format, to be used as a context.

    Args:
        form: One of `FORMATS`, or ``'json'`` for glipkit's own list.
        folder: Folder of the result.
        classes: Names that the result lists first, in this order.

    Raises:
        UserError: No such format.
    """
    if form not in _WRITERS:
        raise UserError(f'one of {", ".join(FORMATS)}', repr(form), 'choose one')
    return _WRITERS[form](folder, classes)


class CocoWriter(Writer):
    """``coco.json``: images, categories and annotations, each with its ``score``."""

    file = 'coco.json'

    def _open(self) -> None:
        self._list = self._stream()
        self._list.write('{"images": [')
        # Boxes come to the file at the end, and need no memory until then.
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        boxes = Path(folder, 'boxes').open('w+')  # noqa: SIM115
        self._boxes = self._stack.enter_context(boxes)
        self._number = 0

    def _write(self, found: Detections, name: str) -> None:
        height, width = found.size
        image = dict(id=self.count + 1, file_name=name, width=int(width), height=int(height))
        self._list.write((',\n ' if self.count else '\n ') + json.dumps(image, ensure_ascii=False))
        for record in found.to_coco(image['id'], list(self._ids.values())):
            _, _, w, h = record['bbox']
            self._boxes.write(',\n ' if self._number else '\n ')
            self._number += 1
            self._boxes.write(json.dumps(
                dict(id=self._number, **record, area=w * h, iscrowd=0)))

    def _finish(self) -> None:
        self._list.write('\n],\n"annotations": [')
        self._boxes.seek(0)
        shutil.copyfileobj(self._boxes, self._list)
        categories = [dict(id=i, name=name, supercategory='') for name, i in self._ids.items()]
        self._list.write('\n],\n"categories": ' + json.dumps(categories, ensure_ascii=False)
                         + '}\n')


class YoloWriter(Writer):
    """``labels/<image>.txt``, empty where nothing was found, and ``data.yaml``.

    Rows have five columns, as annotations do: training tools take a sixth for a fault.
    Labels that are there already must count the same classes.
    """

    files = ('labels', '.txt')

    def _is_own(self, folder: Path) -> bool:
        place = self.folder / 'data.yaml'
        return super()._is_own(folder) or place.is_file() and _ABOUT.encode() in place.read_bytes()

    def _write(self, found: Detections, name: str) -> None:
        if not self.count:
            self._check_labels()
        write_text(self._beside(name), found.to_yolo())

    def _check_labels(self) -> None:
        """Refuses labels of an earlier run that would get the names of other classes."""
        place = self.folder / 'data.yaml'
        if not place.exists() or not any((self.folder / 'labels').rglob('*.txt')):
            return
        try:
            there = read_classes(str(place))
        except UserError:
            there = []
        if there[:len(self.classes)] != list(self.classes[:len(there)]):
            raise UserError(f'a folder whose labels count {", ".join(self.classes[:5])}',
                            f'{place} with {", ".join(there[:5])}',
                            'pass another folder, or remove its labels and data.yaml')
        self._know(there, None)

    def _finish(self) -> None:
        # No `path`: training tools take it from their own folder, and what lacks it from this file.
        content = dict(train='images', val='images', nc=len(self._ids),
                       names=dict(enumerate(self.classes)))
        write_text(self.folder / 'data.yaml',
                   f'{_ABOUT}\n'
                   + yaml.safe_dump(content, allow_unicode=True, sort_keys=False))


class VocWriter(Writer):
    """``Annotations/<image>.xml``: pixels from 1, both edges inside, rounded; ``confidence``."""

    files = ('Annotations', '.xml')

    def _write(self, found: Detections, name: str) -> None:
        write_text(self._beside(name), voc_text(found, name))


class LabelmeWriter(Writer):
    """``labelme/<image>.json``, which leads to the image where that has a file."""

    files = ('labelme', '.json')

    def _write(self, found: Detections, name: str) -> None:
        path = self._beside(name)
        content = found.to_labelme()
        content['imagePath'] = PurePosixPath(name).name
        if found.path is not None:
            try:
                way = os.path.relpath(found.path, path.parent)
            except ValueError:  # on another drive
                way = os.path.abspath(found.path)
            content['imagePath'] = Path(way).as_posix()
        write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + '\n')


class CsvWriter(Writer):
    """``predictions.csv``: a row per detection, with the columns of `Detections.to_rows`."""

    file = 'predictions.csv'

    def _open(self) -> None:
        self._table = csv.DictWriter(self._stream(), ROW_KEYS, lineterminator='\n')
        self._table.writeheader()

    def _write(self, found: Detections, name: str) -> None:
        self._table.writerows({**row, 'image': row['image'] or name} for row in found.to_rows())


class JsonlWriter(Writer):
    """``predictions.jsonl``: an object a line and image, also where nothing was found."""

    file = 'predictions.jsonl'

    def _open(self) -> None:
        self._lines = self._stream()

    def _write(self, found: Detections, name: str) -> None:
        self._lines.write(json.dumps(_as_json(found, name), ensure_ascii=False) + '\n')


class JsonWriter(Writer):
    """``predictions.json``: the list of the same objects."""

    file = 'predictions.json'

    def _open(self) -> None:
        self._list = self._stream()
        self._list.write('[')

    def _write(self, found: Detections, name: str) -> None:
        block = json.dumps(_as_json(found, name), indent=1, ensure_ascii=False)
        self._list.write((',\n ' if self.count else '\n ') + block.replace('\n', '\n '))

    def _finish(self) -> None:
        self._list.write('\n]\n')


def voc_text(found: Detections, name: str) -> str:
    """The content of a Pascal VOC file.

    Args:
        found: Detections of an image.
        name: Name of the image, with folders.
    """
    height, width = found.size
    place = PurePosixPath(name.replace('\\', '/'))
    root = ElementTree.Element('annotation')
    _texts(root, folder=str(place.parent) if len(place.parts) > 1 else '', filename=place.name)
    if found.path is not None:
        _texts(root, path=str(found.path))
    _texts(ElementTree.SubElement(root, 'size'), width=width, height=height, depth=3)
    _texts(root, segmented=0)
    for box, score, _, label in found:
        one = ElementTree.SubElement(root, 'object')
        _texts(one, name=label, pose='Unspecified', truncated=0, difficult=0,
               confidence=f'{score:.5f}')
        # Pixels are counted from 1, and the last one is inside.
        x1, y1, x2, y2 = (round(float(value)) for value in box)
        _texts(ElementTree.SubElement(one, 'bndbox'), xmin=x1 + 1, ymin=y1 + 1,
               xmax=max(x2, x1 + 1), ymax=max(y2, y1 + 1))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding='unicode') + '\n'


def _texts(parent: ElementTree.Element, **texts: Any) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = _NOT_XML.sub('\ufffd', str(text))


def _as_json(one: Detections, name: str) -> dict[str, Any]:
    height, width = one.size
    return {'image': name if one.path is None else str(one.path),
            'width_px': width, 'height_px': height,
            'detections': [{'box_xyxy_px': [round(float(v), 2) for v in box],
                            'score': round(score, 5), 'label': label, 'name': name}
                           for box, score, label, name in one]}


_WRITERS: dict[str, type[Writer]] = {
    'coco': CocoWriter, 'yolo': YoloWriter, 'voc': VocWriter, 'labelme': LabelmeWriter,
    'csv': CsvWriter, 'jsonl': JsonlWriter, 'json': JsonWriter,
}
#: Formats that ``glipkit predict --save`` and the page offer.
FORMATS = ('coco', 'yolo', 'voc', 'labelme', 'csv', 'jsonl')
