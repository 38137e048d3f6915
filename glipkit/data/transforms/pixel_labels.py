"""Labels and segments of all pixels of an image, and the question that goes with them."""
from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import InstanceData, PixelData

from glipkit.data.formats.label_images import (
    check_size,
    check_values,
    read_labels,
    read_segment_ids,
)
from glipkit.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadLabels(BaseTransform):
    """Reads the label PNG ``seg_map_path`` of an image of `SemanticLabels`, and asks for pixels.

    Sets ``gt_sem_seg``, ``sem_seg`` (1, H, W) int16 of the original image with -1 where nothing is
    scored, and ``ask``.

    Args:
        window: Side in pixels of windows that slide over the image in the model; ``'native'`` for
            what its tower began with; None for the whole image.
        overlap: Share of a window that the next one covers too.

    Raises:
        UserError: The PNG is damaged, of another size than the image, or has unknown values.
    """

    def __init__(self, window: int | str | None = None, overlap: float = .5) -> None:
        self.ask = dict(answer='pixels', window=window, overlap=overlap)

    def transform(self, results: dict) -> dict:
        """Reads the labels of one image."""
        path, labels = results['seg_map_path'], results['label_of_value']
        found = read_labels(path)
        check_size(found, results['ori_shape'], path)
        check_values(found, labels, path, f'values of {len(labels) - 1} classes',
                     'check classes and convention of the data set')
        table = np.full(max(labels) + 1, -1, np.int16)
        table[list(labels)] = list(labels.values())
        pixels = PixelData(sem_seg=torch.from_numpy(table[found])[None])
        return _with(results, self.ask, gt_sem_seg=pixels)


@TRANSFORMS.register_module()
class LoadSegments(BaseTransform):
    """Reads the panoptic PNG of an image of `CocoPanoptic`, and asks for its segments.

    Sets ``gt_regions``: ``ids``, ``labels``, ``crowds`` and ``kinds`` ('thing', 'stuff') of the N
    segments that have a pixel; ``gt_segment_map``, ``ids`` (1, H, W) int32 of the original image;
    ``ask``; and where the data set brings masks to name, ``given_regions`` (``ids``) and
    ``given_segment_map``.

    Args:
        masks: How masks of pixels become those of cells: 'coverage', 'bicubic_antialias' or
            'bicubic', see :func:`glipkit.models.alignment.region_pooling.cell_masks`.

    Raises:
        UserError: A PNG is damaged, of another size than the image, or has ids without a segment.
    """

    def __init__(self, masks: str = 'coverage') -> None:
        self.ask = dict(answer='segments', masks=masks)

    def transform(self, results: dict) -> dict:
        """Reads the segments of one image."""
        records = {record['id']: record for record in results['segments']}
        found, present = _segment_map(results, results['seg_map_path'], records)
        records = [record for number, record in records.items() if number in present]
        things = results['things']
        regions = InstanceData(
            ids=torch.tensor([record['id'] for record in records], dtype=torch.int32),
            labels=torch.tensor([record['label'] for record in records], dtype=torch.int64),
            crowds=torch.tensor([record['iscrowd'] for record in records], dtype=torch.bool),
            kinds=['thing' if things[record['label']] else 'stuff' for record in records])
        results['segments'] = records
        elements = dict(gt_regions=regions, gt_segment_map=found)
        if 'mask_map_path' in results:
            given, present = _segment_map(results, results['mask_map_path'], results['mask_ids'])
            numbers = [number for number in results['mask_ids'] if number in present]
            elements.update(given_segment_map=given, given_regions=InstanceData(
                ids=torch.tensor(numbers, dtype=torch.int32)))
        return _with(results, self.ask, **elements)


def _segment_map(results: dict, path: str, known: Any) -> tuple[PixelData, set[int]]:
    """The ids (1, H, W) of a PNG, and which there are."""
    found = read_segment_ids(path)
    check_size(found, results['ori_shape'], path)
    check_values(found, {0, *known}, path, 'ids of the segments that the json lists, or 0',
                 'take json and PNG of the same release')
    return PixelData(ids=torch.from_numpy(found)[None]), set(np.unique(found).tolist())


def _with(results: dict, ask: dict, **elements: Any) -> dict:
    return {**results, 'ask': ask, 'elements': {**results.get('elements', {}), **elements}}
