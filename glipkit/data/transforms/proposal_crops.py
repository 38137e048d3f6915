"""Boxes without labels, and pictures of what is inside of them: what a map learns from crops.

Wu et al., "CLIPSelf", ICLR 2024, section 3.2, and the data path of its code: two paddings, 24
grids, and crops with more around them than the boxes have. n is the number of boxes of an image, S
the side of a crop.
"""
from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import HorizontalBoxes
from PIL import Image

from glipkit.errors import UserError
from glipkit.registry import TRANSFORMS


def grids(max_split: int) -> list[tuple[int, int]]:
    """All (rows, columns) up to ``max_split`` of which neither is more than double the other.

    >>> len(grids(6))
    24
    """
    return [(rows, columns) for rows in range(1, max_split + 1)
            for columns in range(-(-rows // 2), min(2 * rows, max_split) + 1)]


def grid_cells(rows: int, columns: int) -> np.ndarray:
    """Cells (rows * columns, 4), row by row, as shares xyxy of width and height, float32."""
    # torch's steps: a crop's edge that falls on half a pixel hangs on the last bit.
    y, x = (torch.linspace(0, 1, count + 1).numpy() for count in (rows, columns))
    return np.array([[x[j], y[i], x[j + 1], y[i + 1]]
                     for i in range(rows) for j in range(columns)], np.float32)


def enlarged(boxes: np.ndarray, factor: float, width: int, height: int) -> np.ndarray:
    """Boxes (n, 4) with sides of ``factor`` their length around their centres, cut at the image's
    edges."""
    if factor == 1:
        return boxes
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    found = np.concatenate([centres - factor / 2 * sides, centres + factor / 2 * sides], 1)
    return found.clip(0, [width, height, width, height]).astype(boxes.dtype)


class _Proposals(BaseTransform):
    """Sets ``proposals``, (n, 4) `HorizontalBoxes`, and ``crop_boxes``, (n, 4) of the crops.

    Args:
        max_boxes: Boxes of an image at most, drawn at random.
        crop_scale: Side of a crop as a multiple of its box's; crops end at the image's edge.

    Raises:
        UserError: Numbers outside their range.
    """

    def __init__(self, max_boxes: int, crop_scale: float) -> None:
        if max_boxes < 1 or crop_scale < 1:
            raise UserError('max_boxes and crop_scale of at least 1', f'{max_boxes}, {crop_scale}',
                            'correct them')
        self.max_boxes, self.crop_scale = max_boxes, crop_scale

    def _put(self, results: dict, boxes: np.ndarray, crops: np.ndarray | None = None) -> dict:
        height, width = results['img'].shape[:2]
        results['proposals'] = HorizontalBoxes(torch.as_tensor(boxes, dtype=torch.float32))
        results['crop_boxes'] = enlarged(boxes, self.crop_scale, width, height) \
            if crops is None else crops
        return results


@TRANSFORMS.register_module()
class GridProposals(_Proposals):
    """The cells of a grid over the image, whose rows and columns are drawn anew every time.

    Python's generator draws, which `MixedDataset` seeds per draw.

    Args:
        max_split: Most rows and columns; see `grids`. One cell alone is the whole image.
        max_boxes: Cells at most, drawn at random.
        crop_scale: Side of a crop as a multiple of its cell's.

    Raises:
        UserError: Numbers outside their range.
    """

    def __init__(self, max_split: int = 6, max_boxes: int = 20, crop_scale: float = 1.) -> None:
        super().__init__(max_boxes, crop_scale)
        if max_split < 1:
            raise UserError('max_split of at least 1', str(max_split), 'correct it')
        self.grids = grids(max_split)

    def transform(self, results: dict) -> dict:
        """Draws the grid of one image."""
        cells = grid_cells(*random.choice(self.grids))
        order = list(range(len(cells)))
        random.shuffle(order)
        height, width = results['img'].shape[:2]
        size = np.array([width, height, width, height], np.float32)
        return self._put(results, cells[order[:self.max_boxes]] * size)


@TRANSFORMS.register_module()
class DrawProposals(_Proposals):
    """Some of the boxes that an image has: its ``proposals``, or else those of its annotations.

    No label is looked at. An image without a box of a fitting size has its top left quarter.
    Python's generator draws, which `MixedDataset` seeds per draw.

    Args:
        max_boxes: Boxes at most, drawn at random. Those of another size than fits are left out
            afterwards, as in the official code, so that there may be fewer.
        min_size: Least side of a square of their area, in pixels of the original image.
        max_size: Largest.
        crop_scale: Side of a crop as a multiple of its box's.

    Raises:
        UserError: Numbers outside their range.
    """

    def __init__(self, max_boxes: int = 20, min_size: float = 8, max_size: float = 1024,
                 crop_scale: float = 1.5) -> None:
        super().__init__(max_boxes, crop_scale)
        if not 0 <= min_size <= max_size:
            raise UserError('sizes with 0 <= min_size <= max_size', f'{min_size}, {max_size}',
                            'correct them')
        self.area = min_size**2, max_size**2

    def transform(self, results: dict) -> dict:
        """Draws the boxes of one image."""
        boxes = _boxes(results)
        order = list(range(len(boxes)))
        random.shuffle(order)
        boxes = boxes[order[:self.max_boxes]]
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        boxes = boxes[(area >= self.area[0]) & (area <= self.area[1])]
        if len(boxes):
            return self._put(results, boxes)
        height, width = results['img'].shape[:2]
        return self._put(results, np.array([[0, 0, width / 4, height / 4]]),
                         np.array([[0, 0, width // 4, height // 4]]))


def _boxes(results: dict) -> np.ndarray:
    """Boxes (n, 4) of one image, float64."""
    found = results.get('proposals')
    if found is None:
        found = [instance['bbox'] for instance in results.get('instances', ())]
    found = getattr(found, 'tensor', found)
    return np.asarray(found, np.float64).reshape(-1, 4)


@TRANSFORMS.register_module()
class CutCrops(BaseTransform):
    """Cuts a picture out of the image for each of its ``crop_boxes``, before the image is resized.

    The longer side gets S pixels, and black fills the rest of the square on both sides. Sets
    ``crops``, (n, 3, S, S) uint8 in the channel order of the image; removes ``crop_boxes``. An
    image with a side below ``min_side`` is dropped, for the dataset to take another one.

    Args:
        size: S.
        min_side: Least side of an image in pixels.

    Raises:
        UserError: A size below 1.
    """

    def __init__(self, size: int = 224, min_side: int = 10) -> None:
        if size < 1:
            raise UserError('crops of at least 1 pixel', str(size), 'correct size')
        self.size, self.min_side = size, min_side

    def transform(self, results: dict) -> dict | None:
        """Cuts the crops of one image."""
        if min(results['img'].shape[:2]) < self.min_side:
            return None
        image = Image.fromarray(results['img'])
        results['crops'] = np.stack([square_crop(image, box, self.size)
                                     for box in results.pop('crop_boxes').tolist()])
        return results


def square_crop(image: Image.Image, box: Sequence[float], size: int) -> np.ndarray:
    """What is inside of a box, in the middle of a black square.

    Args:
        image: Any image of three channels.
        box: xyxy in its pixels; edges are rounded, halves to the even pixel.
        size: S.

    Returns:
        (3, S, S), uint8.
    """
    left, top, right, bottom = (round(edge) for edge in box)
    crop = image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
    scale = size / max(crop.size)
    width, height = (max(round(side * scale), 1) for side in crop.size)
    canvas = np.zeros((size, size, 3), np.uint8)
    y, x = (size - height) // 2, (size - width) // 2
    canvas[y:y + height, x:x + width] = crop.resize((width, height), Image.BICUBIC)
    return canvas.transpose(2, 0, 1)
