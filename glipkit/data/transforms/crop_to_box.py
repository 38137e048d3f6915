"""Cuts one thing out of its image."""
from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform

from glipkit.errors import UserError
from glipkit.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CropToBox(BaseTransform):
    """Crops the square around ``crop_box``, with room around it; `Resize` may follow.

    The centre is that of the box, moved by chance where there is room; outside the image the
    square shows the image's edge again. Sets ``img``, ``img_shape`` and ``ori_shape``; removes
    ``crop_box``, which has no meaning afterwards.

    Args:
        margin: Fewest and most room on each side, as a share of the box's long side; drawn from
            numpy's global generator, the mean of both where ``fixed``. Below 0 a rim of the thing
            itself is cut off, at most a quarter.
        fixed: Whether to crop without chance, for tests.

    Raises:
        UserError: Margins below -0.25, or the larger first.
    """

    def __init__(self, margin: tuple[float, float] = (0., .4), fixed: bool = False) -> None:
        low, high = margin
        if not -.25 <= low <= high:
            raise UserError('margin=(fewest, most) of at least -0.25', repr(margin), 'correct it')
        self.margin, self.fixed = (low, high), fixed

    def transform(self, results: dict) -> dict:
        """Cuts one sample."""
        x1, y1, x2, y2 = results.pop('crop_box')
        low, high = self.margin
        room = (low + high) / 2 if self.fixed else np.random.uniform(low, high)
        side = max(x2 - x1, y2 - y1) * (1 + 2 * room)
        centre = np.array([x1 + x2, y1 + y2]) / 2
        if not self.fixed:
            spare = np.maximum(side - np.array([x2 - x1, y2 - y1]), 0) / 2
            centre = centre + np.random.uniform(-1, 1, 2) * spare
        side = max(round(side), 1)
        left, top = (int(v) for v in np.round(centre - side / 2))
        results['img'] = crop(results['img'], left, top, side)
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results


def crop(image: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    """The square (side, side, 3) at a place; pixels outside the image (H, W, 3) repeat its edge."""
    rows = np.clip(np.arange(top, top + side), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(left, left + side), 0, image.shape[1] - 1)
    return image[np.ix_(rows, columns)]
