"""COCO panoptic files: a json of segments, and a PNG per image in which each pixel has an id."""
from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from glipkit.data import sample_keys as keys
from glipkit.data.formats.coco_json import check_names, read_images, whole_number
from glipkit.data.formats.reading import as_crowd, read_json, summary
from glipkit.data.grounding_dataset import GroundingDataset
from glipkit.errors import UserError
from glipkit.registry import DATASETS

_WHAT = "a COCO panoptic json with the lists 'images', 'annotations' and 'categories'"


@DATASETS.register_module()
class CocoPanoptic(GroundingDataset):
    """Images of which every pixel belongs to a thing or to some stuff, from COCO panoptic files.

    The text of a sample is the tuple of all category names, ascending by id, and labels index it.
    ``glipkit.LoadSegments`` reads the PNG.

    Args:
        ann_file: The json.
        data_prefix: ``dict(img=folder, seg=folder)`` of images and panoptic PNGs.
        masks: ``dict(ann_file=, seg=)`` of files of the same form, whose segments are to be named
            instead of the annotated ones; their categories are not read. None takes the annotated.
        **kwargs: As in `GroundingDataset`.

    Raises:
        UserError: A file is missing, or a record of it cannot be understood.
    """

    folders = ('img', 'seg')

    def __init__(self, ann_file: str, masks: Mapping[str, str] | None = None,
                 **kwargs: Any) -> None:
        self.masks = masks and {key: os.path.join(kwargs.get('data_root') or '', place)
                                for key, place in masks.items()}
        if self.masks is not None and set(self.masks) != {'ann_file', 'seg'}:
            raise UserError("masks=dict(ann_file='file', seg='folder')", repr(masks), 'correct it')
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One sample per image."""
        content = _read(self.ann_file, ('images', 'annotations', 'categories'))
        images = read_images(self.ann_file, content['images'])
        categories = _categories(self.ann_file, content['categories'])
        self._names = tuple(record['name'] for record in categories.values())
        self._things = tuple(bool(record['isthing']) for record in categories.values())
        self._metainfo.update(classes=self._names, things=self._things)
        labels = {category: label for label, category in enumerate(categories)}
        segments = _segments(self.ann_file, content['annotations'], labels)
        given = {} if self.masks is None else _segments(
            self.masks['ann_file'], _read(self.masks['ann_file'], ('annotations', ))['annotations'])
        samples = [self._sample(image_id, image, segments, given)
                   for image_id, image in images.items() if image_id in segments]
        counts = {'images': len(samples), 'segments': sum(len(s['segments']) for s in samples),
                  'classes': len(self._names)}
        print_log(summary(self.ann_file, counts, {}), 'current')
        return samples

    def _sample(self, image_id: int, image: Mapping[str, Any], segments: Mapping[int, tuple],
                given: Mapping[int, tuple]) -> dict:
        name, found = segments[image_id]
        sample = {keys.IMG_ID: image_id, keys.IMG_PATH: self.image_path(image['file_name']),
                  keys.INSTANCES: [], keys.SEGMENTS: found,
                  keys.SEG_MAP_PATH: os.path.join(self.data_prefix['seg'], name)}
        if self.masks is not None:
            if image_id not in given:
                raise UserError(f'masks for every image of {self.ann_file}',
                                f'{self.masks["ann_file"]} without image {image_id}', 'add it')
            name, found = given[image_id]
            sample[keys.MASKS] = [record['id'] for record in found]
            sample[keys.MASK_MAP_PATH] = os.path.join(self.masks['seg'], name)
        sizes = {keys.HEIGHT: image['height'], keys.WIDTH: image['width']}
        return {**sample, **{key: side for key, side in sizes.items() if side is not None}}

    def get_data_info(self, idx: int) -> dict:
        """Sample ``idx`` before the pipeline."""
        return {**super().get_data_info(idx), keys.TEXT: self._names, keys.THINGS: self._things}


def _read(path: str | Path, lists: tuple[str, ...]) -> dict:
    content = read_json(path, _WHAT)
    content = content if isinstance(content, dict) else {}
    missing = [key for key in lists if not isinstance(content.get(key), list)]
    if missing:
        raise UserError(_WHAT, f'{path} without {", ".join(missing)}',
                        'check that this is the right file')
    return content


def _categories(path: str | Path, records: list) -> dict[int, dict]:
    """Category id -> record, ascending."""
    found = {whole_number(record, 'id', f'{path}: categories[{i}]'): record
             for i, record in enumerate(records)}
    if len(found) != len(records):
        raise UserError('category ids that differ', f'{path}: one twice', 'give each its own id')
    check_names([found[i].get('name') for i in sorted(found)], f'{path}: categories')
    for i, record in enumerate(records):
        if record.get('isthing') not in (0, 1):
            raise UserError('categories with isthing 0 or 1',
                            f'{path}: categories[{i}]: {record.get("isthing")!r}', 'add it')
    return {i: found[i] for i in sorted(found)}


def _segments(path: str | Path, records: list,
              labels: Mapping[int, int] | None = None) -> dict[int, tuple[str, list[dict]]]:
    """Image id -> file name of the PNG and its segments, as `sample_keys.SEGMENTS`.

    Args:
        path: Of the json, for messages.
        records: Its list 'annotations'.
        labels: Category id -> label; None where categories do not matter.
    """
    found: dict[int, tuple[str, list[dict]]] = {}
    for i, record in enumerate(records):
        where = f'{path}: annotations[{i}]'
        image_id = whole_number(record, 'image_id', where)
        name, infos = record.get('file_name'), record.get('segments_info')
        if not isinstance(name, str) or not isinstance(infos, list):
            raise UserError('annotations with file_name and segments_info',
                            f'{where}: {sorted(record)}', 'check that this is a panoptic json')
        own = [_segment(info, f'{where}.segments_info[{j}]', labels)
               for j, info in enumerate(infos)]
        if len({segment['id'] for segment in own}) < len(own):
            raise UserError('segment ids that differ in an image', f'{where}: one twice',
                            'give each segment its own id')
        found[image_id] = name, own
    return found


def _segment(info: Any, where: str, labels: Mapping[int, int] | None) -> dict:
    number = whole_number(info, 'id', where)
    if not 0 < number < 1 << 24:
        raise UserError('segment ids from 1 to 16777215, as three bytes hold',
                        f'{where}: {number}', 'correct it')
    if labels is None:
        return dict(id=number)
    category = whole_number(info, 'category_id', where)
    if category not in labels:
        raise UserError('segments of the listed categories', f'{where}: category_id {category}',
                        'add the category or correct the segment')
    return dict(id=number, label=labels[category], iscrowd=as_crowd(info.get('iscrowd'), where),
                bbox=info.get('bbox'))
