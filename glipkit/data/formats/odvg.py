"""ODVG jsonl: one image per line, with classes or with a caption."""
from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

from glipkit.data import sample_keys as keys
from glipkit.data.formats.coco_json import check_names
from glipkit.data.formats.grounding_line import append_box, objects, parse_grounding
from glipkit.data.formats.reading import as_box, as_size, read_json
from glipkit.data.formats.records import RecordDataset
from glipkit.data.line_index import JsonLines
from glipkit.errors import UserError
from glipkit.registry import DATASETS

_WHAT = 'an ODVG jsonl file'


@DATASETS.register_module()
class OdvgGrounding(RecordDataset):
    """Images with captions, or with boxes of named classes, as MMDetection's converters write.

    One JSON object per line: ``filename``, ``height``, ``width`` and either

    * ``grounding``: ``caption`` and ``regions``, each with ``bbox`` (one box or a list of boxes),
      ``phrase`` and, optionally, ``tokens_positive`` [[start, end), ...]. Without the latter the
      region is every word-bounded occurrence of its phrase. Regions with the same spans are one
      phrase. The text of the sample is the caption.
    * ``detection``: ``instances``, each with ``bbox``, ``label`` and, optionally, ``category``.
      Labels are the keys of the label map; the text of the sample is the tuple of all its names.

    Boxes are [x1, y1, x2, y2] with exclusive right and bottom edge. They are clipped to the image,
    and dropped where a side of at most one pixel is left.

    Args:
        ann_file: The jsonl file.
        label_map_file: JSON ``{"0": name, ...}``, relative to ``data_root`` or absolute; needed
            by detection lines only.
        **kwargs: Those of `GroundingDataset`. `RecordDataset` describes when lines are read.
    """

    def __init__(self, ann_file: str, label_map_file: str | None = None, **kwargs: Any) -> None:
        self.label_map_file = label_map_file and os.path.join(
            kwargs.get('data_root') or '', label_map_file)
        super().__init__(ann_file, **kwargs)

    def open_records(self) -> JsonLines:
        """Reads the label map and opens the file."""
        names = _read_label_map(self.label_map_file) if self.label_map_file else {}
        self._class_names = tuple(names.values())
        self._label_of = {key: label for label, key in enumerate(names)}
        if names:
            self._metainfo['classes'] = self._class_names
        return JsonLines(self.ann_file, _WHAT)

    def parse(self, row: int, dropped: Counter) -> dict:
        """Sample of one line."""
        return self._sample(self.records[row], self.records.number(row), dropped)

    def _sample(self, line: Mapping, number: int, dropped: Counter) -> dict:
        where = f'{self.ann_file}:{number}'
        name = line.get('filename')
        if not isinstance(name, str) or not name:
            raise UserError(f'{_WHAT}: a filename per line', f'{where}: {name!r}', 'add it')
        sizes = {key: as_size(line.get(key), where, key) for key in (keys.HEIGHT, keys.WIDTH)}
        clip = (sizes[keys.WIDTH], sizes[keys.HEIGHT])
        sample = {keys.IMG_ID: number, keys.IMG_PATH: self.image_path(name),
                  **{key: side for key, side in sizes.items() if side is not None}}
        kinds = [kind for kind in ('grounding', 'detection') if isinstance(line.get(kind), dict)]
        if len(kinds) != 1:
            raise UserError(f"{_WHAT}: an object 'grounding' or 'detection' per line",
                            f'{where}: {len(kinds)} of them', 'keep one of the two')
        if kinds[0] == 'grounding':
            return {**sample, **parse_grounding(line['grounding'], _WHAT, clip, where, dropped)}
        return {**sample, **self._detection(line['detection'], clip, where, dropped)}

    def _detection(self, record: Mapping, clip: tuple, where: str, dropped: Counter) -> dict:
        if not self._label_of:
            raise UserError('a label map for detection lines', f'{where} and no label_map_file',
                            "set label_map_file to the json with {'0': name, ...}")
        instances = []
        for entry in objects(record, 'instances', _WHAT, where):
            label = self._label_of.get(_label_key(entry.get('label')))
            if label is None:
                raise UserError(f'labels of {self.label_map_file}',
                                f'{where}: label {entry.get("label")!r}', 'extend the label map')
            stated, mapped = entry.get('category'), self._class_names[label]
            if stated is not None and stated != mapped:
                raise UserError(f'the name {mapped!r} that {self.label_map_file} gives to label '
                                f'{entry["label"]}', f'{where}: category {stated!r}',
                                'use the label map that belongs to the file')
            box = as_box(entry.get('bbox'), where, 'x1, y1, x2, y2')
            append_box(instances, box, label, clip, dropped)
        return {keys.INSTANCES: instances}


def _label_key(value: Any) -> int | None:
    """Labels stand as numbers in the lines and as strings in the map."""
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return value if type(value) is int else None


def _read_label_map(path: str) -> dict[int, str]:
    """Label -> name in ascending order of labels, which need not be consecutive."""
    content = read_json(path, 'a label map json')
    if not isinstance(content, dict) or any(_label_key(key) is None for key in content):
        raise UserError('a label map {"0": name, ...}', f'{path}: another structure',
                        'write whole numbers as keys and names as values')
    names = {_label_key(key): content[key] for key in sorted(content, key=_label_key)}
    check_names(list(names.values()), path)
    return names
