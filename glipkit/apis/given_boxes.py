"""Boxes of the caller, in the pixels of an image as it was given; needs no PyTorch."""
from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from glipkit.errors import UserError


def check_boxes(boxes: ArrayLike, size: tuple[int, int], where: str) -> np.ndarray:
    """Boxes of an image as a model takes them.

    Args:
        boxes: (N, 4) xyxy absolute pixels, right and bottom edge exclusive, as an array, a list or
            a tensor; N may be 0.
        size: (height, width) of the image.
        where: Name of the image, for messages.

    Returns:
        (N, 4) float32; what lies beyond an edge of the image is cut off.

    Raises:
        UserError: Another shape, a number that is not finite, edges in the wrong order, or a box
            without a part inside the image.
    """
    found = _numbers(boxes, where)
    height, width = size
    inside = found.clip(0, [width, height, width, height])
    wrong = [
        (~np.isfinite(found).all(1), 'boxes of finite numbers', 'remove it'),
        ((found[:, 2:] <= found[:, :2]).any(1), 'boxes as x1 < x2 and y1 < y2',
         'write corners, not width and height'),
        ((inside[:, 2:] <= inside[:, :2]).any(1),
         f'boxes inside the image of {width} x {height} pixels',
         'pass pixels of the image as it was given'),
    ]
    for mask, expected, fix in wrong:
        if mask.any():
            i = int(mask.argmax())
            got = ', '.join(f'{value:g}' for value in found[i])
            raise UserError(expected, f'box {i} of {where}: [{got}]', fix)
    return inside.astype(np.float32)


def _numbers(boxes: ArrayLike, where: str) -> np.ndarray:
    if hasattr(boxes, 'detach'):  # a tensor, without the need of PyTorch
        boxes = boxes.detach().cpu().numpy()
    try:
        found = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError('boxes as an array (N, 4)', f'{where}: {error}',
                        'pass [[x1, y1, x2, y2], ...]') from error
    if found.size == 0 and found.ndim <= 2:
        return np.zeros((0, 4))
    if found.ndim != 2 or found.shape[1] != 4:
        raise UserError('boxes as an array (N, 4)', f'{where}: shape {found.shape}',
                        'pass [[x1, y1, x2, y2], ...]')
    return found
