"""Boxes and crops of the segments of an image, to measure how well they are named."""
from __future__ import annotations

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import InstanceData
from PIL import Image

from glipkit.data.transforms.proposal_crops import enlarged, square_crop
from glipkit.errors import UserError
from glipkit.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CutRegions(BaseTransform):
    """Turns the segments that `LoadSegments` has read into regions with boxes, masks and crops.

    The protocol of CLIPSelf's code (ICLR 2024, section 4.2): a thing's box is the annotated one,
    and its crop shows half as much again; that of stuff ends with the centres of the outermost
    pixels of its mask, and so does its crop. Crowds count. Before the image is resized: crops come
    from the original.

    Args:
        size: Side S of a crop, whose longer side fills it.
        crop_scale: Side of a thing's crop as a multiple of its box's.
        min_size: Least side of a square of the area of a box, in pixels.
        max_size: Largest.
        most: Segments of an image, the first of the file; sizes are looked at afterwards.
        masks: As in `LoadSegments`.
        crops: 'class_token' embeds a crop as CLIP does, 'mean' by the mean of its dense map.

    Raises:
        UserError: Numbers outside their range, or a thing without a box.
    """

    def __init__(self, size: int = 224, crop_scale: float = 1.5, min_size: float = 8,
                 max_size: float = 1024, most: int = 100, masks: str = 'coverage',
                 crops: str = 'class_token') -> None:
        if size < 1 or crop_scale < 1 or not 0 <= min_size <= max_size or most < 1:
            raise UserError('size, crop_scale, most of at least 1 and min_size up to max_size',
                            f'{size}, {crop_scale}, {most}, {min_size}, {max_size}', 'correct them')
        self.size, self.crop_scale, self.most = size, crop_scale, most
        self.area = min_size**2, max_size**2
        self.ask = dict(answer='regions', masks=masks, crops=crops)

    def transform(self, results: dict) -> dict:
        """Cuts the regions of one image."""
        segments, elements = results['segments'], results['elements']
        things, ids = results['things'], elements['gt_segment_map'].ids[0].numpy()
        height, width = ids.shape
        image = Image.fromarray(results['img'])
        kept, boxes, crops = [], [], []
        for i, segment in enumerate(segments[:self.most]):
            thing = things[segment['label']]
            box = _annotated(segment, results) if thing else _centres(ids == segment['id'])
            area = (box[2] - box[0]) * (box[3] - box[1])
            if not self.area[0] <= area <= self.area[1]:
                continue
            shown = enlarged(box[None], self.crop_scale if thing else 1, width, height)[0]
            kept.append(i)
            boxes.append(box)
            crops.append(square_crop(image, shown.tolist(), self.size))
        regions: InstanceData = elements['gt_regions'][torch.tensor(kept, dtype=torch.int64)]
        regions.bboxes = torch.from_numpy(np.float32(boxes).reshape(-1, 4))
        regions.crops = torch.from_numpy(
            np.stack(crops) if crops else np.zeros((0, 3, self.size, self.size), np.uint8))
        return {**results, 'ask': self.ask, 'elements': {**elements, 'gt_regions': regions}}


def _annotated(segment: dict, results: dict) -> np.ndarray:
    """The box of a thing, xyxy float64."""
    box = segment['bbox']
    if not isinstance(box, (list, tuple)) or len(box) != 4:
        raise UserError('things with a bbox [x, y, w, h]',
                        f'segment {segment["id"]} of {results["img_path"]}: {box!r}', 'add it')
    x, y, w, h = map(float, box)
    return np.array([x, y, x + w, y + h])


def _centres(mask: np.ndarray) -> np.ndarray:
    """The centres of the outermost pixels of a mask with a pixel, xyxy float64."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float64)
