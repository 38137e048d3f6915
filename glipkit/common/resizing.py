"""To which size images are made, and their pixels; with nothing but Pillow."""
from __future__ import annotations

import numpy as np
from PIL import Image

#: Names of filters in configs -> Pillow's.
FILTERS = {'nearest': Image.Resampling.NEAREST, 'bilinear': Image.Resampling.BILINEAR,
           'bicubic': Image.Resampling.BICUBIC, 'lanczos': Image.Resampling.LANCZOS,
           'box': Image.Resampling.BOX, 'hamming': Image.Resampling.HAMMING}


def short_side_size(width: int, height: int, short: int, long: int) -> tuple[int, int]:
    """New (width, height) of an image, by the rule of maskrcnn-benchmark.

    The shorter side becomes ``short``; where the longer one would then exceed ``long``, it becomes
    round(long * shorter / longer) instead. The longer side follows, rounded down. This differs from
    mmdet's ``FixScaleResize`` by a pixel for every third image size.
    """
    smaller, larger = min(width, height), max(width, height)
    if larger / smaller * short > long:
        # For a very narrow image the rule gives 0 pixels, and maskrcnn-benchmark fails.
        short = max(round(long * smaller / larger), 1)
    if smaller == short:
        return width, height
    if width < height:
        return short, int(short * height / width)
    return int(short * width / height), short


def long_side_size(width: int, height: int, long: int) -> tuple[tuple[int, int], float]:
    """New (width, height) of an image whose longer side becomes ``long``, and the exact factor."""
    factor = long / max(width, height)
    return (max(round(width * factor), 1), max(round(height * factor), 1)), factor


def resize(pixels: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Pixels (H, W, 3) uint8 in another size (width, height), by a filter of Pillow."""
    return np.asarray(Image.fromarray(pixels).resize(size, FILTERS[interpolation]))
