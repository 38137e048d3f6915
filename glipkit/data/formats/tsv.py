"""Tab-separated tables, in which the code of Li et al., CVPR 2022 reads Objects365 and others."""
from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from glipkit.data import sample_keys as keys
from glipkit.data.formats.coco_json import check_names
from glipkit.data.formats.grounding_line import append_box
from glipkit.data.formats.reading import as_box, as_size, open_text, read_json
from glipkit.data.formats.records import RecordDataset
from glipkit.data.formats.tsv_table import TsvImage, TsvTable, check_key
from glipkit.errors import UserError
from glipkit.registry import DATASETS
from glipkit.text.negatives import BACKGROUND

_WHAT = 'a detection tsv'
# What the official yaml calls the files, and the arguments here.
_ENTRIES = {'img': 'img_file', 'label': 'label_file', 'hw': 'hw_file',
            'linelist': 'linelist_file', 'labelmap': 'label_map_file',
            'jsondict': 'label_map_file'}


@DATASETS.register_module()
class TsvDetection(RecordDataset):
    """Images with boxes of named classes, from tsv tables.

    Row i of every table belongs to one image: the label table holds ``key \\t json`` with a list
    of ``{"class": name, "rect": [x1, y1, x2, y2]}`` (or that list under "objects"), the image
    table ``key \\t base64 of a JPEG``, the table of sizes ``key \\t [{"height": h, "width": w}]``
    or ``key \\t h w``. The label map is ``{"label_to_idx": {name: index}}`` or ``{name: index}``;
    the text of every sample is the tuple of its names by index, without ``__background__``. A
    line list chooses rows by number, repetitions included (class-aware sampling).

    Boxes are clipped to the image where sizes are known, and dropped where a side of at most one
    pixel is left or the label map lacks their class. Images are read by `LoadImage`.

    Args:
        ann_file: The label table, or the official yaml that names all files with the entries
            img, label, hw, linelist and labelmap (or jsondict), relative to its own folder.
        img_file: Image table, relative to ``data_root`` or absolute, as all that follow.
        label_map_file: Label map.
        hw_file: Table of sizes; None: sizes are unknown.
        linelist_file: Row numbers, from 0, one per line; None: every row once.
        **kwargs: Those of `GroundingDataset`. `RecordDataset` describes when rows are read.

    Raises:
        UserError: A file is missing, tables differ in rows, or a row cannot be understood.
    """

    def __init__(self,
                 ann_file: str,
                 img_file: str | None = None,
                 label_map_file: str | None = None,
                 hw_file: str | None = None,
                 linelist_file: str | None = None,
                 **kwargs: Any) -> None:
        root = kwargs.get('data_root') or ''
        given = dict(img_file=img_file, label_map_file=label_map_file, hw_file=hw_file,
                     linelist_file=linelist_file)
        self.files = {name: os.path.join(root, file) for name, file in given.items() if file}
        super().__init__(ann_file, **kwargs)

    def open_records(self) -> TsvRows:
        """Opens all tables."""
        files = {'label_file': self.ann_file, **self.files}
        if Path(self.ann_file).suffix in ('.yaml', '.yml'):
            files = {**_read_yaml(Path(self.ann_file)), **self.files}
        missing = [name for name in ('img_file', 'label_map_file') if name not in files]
        if missing:
            raise UserError(f'{_WHAT} with images and a label map', f'no {" and ".join(missing)}',
                            f'pass {", ".join(missing)}, or the yaml of the set as ann_file')
        self._class_names, self._label_of = _read_label_map(files['label_map_file'])
        self._metainfo['classes'] = self._class_names
        records = TsvRows(files)
        self._check_classes(records, files['label_map_file'])
        return records

    def parse(self, row: int, dropped: Counter) -> dict:
        """Sample of one row."""
        records, row = self.records, self.records.line(row)
        key, objects, where = records.labels_of(row)
        width, height = records.size_of(row, key)
        instances: list[dict] = []
        for entry in objects:
            name = entry.get('class')
            label = self._label_of.get(name) if isinstance(name, str) else None
            box = as_box(entry.get('rect'), where, 'x1, y1, x2, y2')
            if label is None:
                dropped['boxes of classes that the label map lacks'] += 1
            else:
                append_box(instances, box, label, (width, height), dropped)
        sizes = {keys.HEIGHT: height, keys.WIDTH: width}
        return {
            keys.IMG_ID: row + 1,
            keys.IMG_PATH: records.images.where(row),
            keys.IMG_BYTES: TsvImage(records.images.slice(row), key),
            keys.INSTANCES: instances,
            **{name: side for name, side in sizes.items() if side is not None}
        }

    def _check_classes(self, records: TsvRows, label_map: str) -> None:
        """Refuses a label map that knows none of the first classes."""
        names = {str(entry.get('class')) for row in range(min(len(records), 100))
                 for entry in records.labels_of(records.line(row))[1]}
        if names and not names & self._label_of.keys():
            raise UserError(f'a label map of the classes of {records.labels.path}',
                            f'{label_map} without {sorted(names)[:3]}',
                            'use the label map of this set')


class TsvRows:
    """The tables of one set, with the rows that a line list chooses.

    Args:
        files: Paths of ``label_file``, ``img_file`` and perhaps ``hw_file`` and
            ``linelist_file``.

    Raises:
        UserError: Tables that differ in rows, or a line list of other rows.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self.labels = TsvTable(files['label_file'], _WHAT)
        self.images = TsvTable(files['img_file'], 'a tsv of images')
        self.sizes = TsvTable(files['hw_file'], 'a tsv of sizes') if 'hw_file' in files else None
        for table in (self.images, self.sizes):
            if table is not None and len(table) != len(self.labels):
                raise UserError(f'as many rows as {self.labels.path}, {len(self.labels)}',
                                f'{len(table)} in {table.path}', 'use files of one set')
        self._lines = None
        if 'linelist_file' in files:
            self._lines = _read_line_list(files['linelist_file'], len(self.labels))

    @property
    def num_bytes(self) -> int:
        """Size of the label table, or of its share that the line list asks for."""
        return self.labels.num_bytes * len(self) // max(len(self.labels), 1)

    def __len__(self) -> int:
        return len(self.labels) if self._lines is None else len(self._lines)

    def line(self, row: int) -> int:
        """Row of the tables, from 0, of a row of this set."""
        return row if self._lines is None else int(self._lines[row])

    def labels_of(self, row: int) -> tuple[bytes, list[dict], str]:
        """Key and objects of a row of the label table; and where it is, for errors."""
        where = self.labels.where(row)
        columns = self.labels.row(row)
        value = _parse(columns[1], where) if len(columns) == 2 else None
        if isinstance(value, dict):
            value = value.get('objects')
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise UserError(f'{_WHAT} with the columns key and list of objects',
                            f'{where}: {len(columns)} columns or another structure',
                            'check that this is the label file')
        return columns[0], value, where

    def size_of(self, row: int, key: bytes) -> tuple[int | None, int | None]:
        """(width, height) of an image, None where unknown."""
        if self.sizes is None:
            return None, None
        where = self.sizes.where(row)
        columns = self.sizes.row(row)
        check_key(columns, key, where)
        text = columns[-1].strip()
        if text[:1] in (b'[', b'{'):
            value = _parse(text, where)
            value = value[0] if isinstance(value, list) and value else value
            value = value if isinstance(value, dict) else {}
            height, width = value.get('height'), value.get('width')
        else:
            height, width = (text.decode('utf-8', 'replace').split() + [None, None])[:2]
        if height is None or width is None:
            raise UserError('height and width of an image', f'{where}: {text[:40]!r}',
                            'write [{"height": h, "width": w}] or "h w"')
        return as_size(width, where, 'width'), as_size(height, where, 'height')


def _parse(text: bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f'{_WHAT} with JSON in its second column', f'{where}: {error}',
                        'repair or remove the row') from error


def _read_yaml(path: Path) -> dict[str, str]:
    """Argument -> path of the files that the official yaml names."""
    with open_text(path, 'the yaml of a detection tsv') as file:
        try:
            content = yaml.safe_load(file)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError('the yaml of a detection tsv',
                            f'{path}: {" ".join(str(error).split())}', 'repair it') from error
    content = content if isinstance(content, dict) else {}
    files = {_ENTRIES[key]: str(path.parent / str(content[key]))
             for key in _ENTRIES if content.get(key)}
    if not {'img_file', 'label_file'} <= files.keys():
        raise UserError("a yaml with the entries 'img' and 'label'",
                        f'{path} with {sorted(map(str, content))}', 'add them')
    return files


def _read_label_map(path: str) -> tuple[tuple[str, ...], dict[str, int]]:
    """Class names by index, without the background; name -> label."""
    content = read_json(path, 'a label map json')
    if isinstance(content, dict) and isinstance(content.get('label_to_idx'), dict):
        content = content['label_to_idx']
    if not isinstance(content, dict) or not all(type(i) is int for i in content.values()):
        raise UserError('a label map {name: index}, or that under "label_to_idx"',
                        f'{path}: another structure', 'write names as keys, numbers as values')
    if len(set(content.values())) < len(content):
        raise UserError('a label map whose indices differ', f'{path}: some index twice',
                        'give every name its own index')
    names = tuple(name for name in sorted(content, key=content.get) if name != BACKGROUND)
    check_names(list(names), path)
    return names, {name: label for label, name in enumerate(names)}


def _read_line_list(path: str, count: int) -> np.ndarray:
    """(N,) int64 row numbers from 0."""
    with open_text(path, 'a line list') as file:
        try:
            lines = np.array(file.read().split(), dtype=np.int64)
        except (ValueError, OverflowError) as error:  # bytes that are no text among them
            raise UserError('a line list of whole numbers', f'{path}: {error}',
                            'write one row number per line') from error
    if len(lines) and not 0 <= lines.min() <= lines.max() < count:
        raise UserError(f'row numbers from 0 to {count - 1}',
                        f'{path}: from {lines.min()} to {lines.max()}',
                        'use the line list of this set')
    return lines
