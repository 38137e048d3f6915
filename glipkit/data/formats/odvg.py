"""ODVG jsonl: one image per line, with classes or with a caption."""
from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log

from glipkit.data import sample_keys as keys
from glipkit.data.grounding_dataset import GroundingDataset
from glipkit.errors import UserError
from glipkit.registry import DATASETS

from glipkit.data.formats.coco_json import check_names
from glipkit.data.formats.phrase_spans import checked_spans, find_phrase
from glipkit.data.formats.reading import (as_box, as_size, clip_box, read_json, read_json_lines,
                                          summary)

_WHAT = 'an ODVG jsonl file'


@DATASETS.register_module()
class OdvgGrounding(GroundingDataset):
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
        **kwargs: Those of `GroundingDataset`.
    """

    def __init__(self, ann_file: str, label_map_file: str | None = None, **kwargs: Any) -> None:
        self.label_map_file = label_map_file and os.path.join(
            kwargs.get('data_root') or '', label_map_file)
        super().__init__(ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Reads the file line by line; see the class for what is kept."""
        names = _read_label_map(self.label_map_file) if self.label_map_file else {}
        self._class_names = tuple(names.values())
        self._label_of = {key: label for label, key in enumerate(names)}
        if names:
            self._metainfo['classes'] = self._class_names
        dropped: Counter = Counter()
        data_list = [
            self._sample(line, number, dropped)
            for number, line in read_json_lines(self.ann_file, _WHAT)
        ]
        captions = sum(keys.TEXT in sample for sample in data_list)
        counts = {'images': len(data_list), 'captions': captions,
                  'boxes': sum(len(sample[keys.INSTANCES]) for sample in data_list)}
        print_log(summary(self.ann_file, counts, dropped), 'current')
        return data_list

    def get_data_info(self, idx: int) -> dict:
        """Sample ``idx`` before the pipeline."""
        return {keys.TEXT: self._class_names, **super().get_data_info(idx)}

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
            return {**sample, **_grounding(line['grounding'], clip, where, dropped)}
        return {**sample, **self._detection(line['detection'], clip, where, dropped)}

    def _detection(self, record: Mapping, clip: tuple, where: str, dropped: Counter) -> dict:
        if not self._label_of:
            raise UserError('a label map for detection lines', f'{where} and no label_map_file',
                            "set label_map_file to the json with {'0': name, ...}")
        instances = []
        for entry in _records(record, 'instances', where):
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
            _append(instances, box, label, clip, dropped)
        return {keys.INSTANCES: instances}


def _grounding(record: Mapping, clip: tuple, where: str, dropped: Counter) -> dict:
    """Caption, phrases and instances of one line."""
    caption = record.get('caption')
    if not isinstance(caption, str):
        raise UserError(f'{_WHAT}: a caption', f'{where}: {caption!r}', 'add the caption')
    label_of: dict[tuple, int] = {}
    instances: list[dict] = []
    for region in _records(record, 'regions', where):
        spans = tuple(_region_spans(caption, region, where))
        if not spans:
            dropped['regions whose phrase is not in the caption'] += 1
            continue
        label = label_of.setdefault(spans, len(label_of))
        for box in _region_boxes(region, where):
            _append(instances, box, label, clip, dropped)
    return {keys.TEXT: caption, keys.PHRASES: [list(spans) for spans in label_of],
            keys.INSTANCES: instances}


def _region_spans(caption: str, region: Mapping, where: str) -> list[tuple[int, int]]:
    if region.get('tokens_positive') is not None:
        return checked_spans(caption, region['tokens_positive'], where)
    phrase = region.get('phrase')
    parts = [phrase] if isinstance(phrase, str) else phrase
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise UserError(f'{_WHAT}: a region with phrase or tokens_positive', f'{where}: {phrase!r}',
                        'add one of the two')
    return sorted({span for part in parts for span in find_phrase(caption, part)})


def _region_boxes(region: Mapping, where: str) -> list[list[float]]:
    boxes = region.get('bbox')
    if not (isinstance(boxes, list) and all(isinstance(box, list) for box in boxes)):
        boxes = [boxes]
    return [as_box(box, where, 'x1, y1, x2, y2') for box in boxes]


def _append(instances: list[dict], box: list[float], label: int, clip: tuple,
            dropped: Counter) -> None:
    clipped = clip_box(box, *clip)
    if clipped is None:
        dropped['degenerate boxes'] += 1
    else:
        instances.append(dict(bbox=clipped, bbox_label=label, ignore_flag=0))


def _records(parent: Mapping, key: str, where: str) -> list[dict]:
    records = parent.get(key, [])
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise UserError(f'{_WHAT}: a list of objects {key!r}', f'{where}: another structure',
                        'repair the line')
    return records


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
