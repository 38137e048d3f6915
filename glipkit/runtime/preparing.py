"""From pixels to the tensor that a graph takes, in the steps of the model's own test pipeline."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from glipkit.common.resizing import long_side_size, resize, short_side_size

Size = tuple[int, int]


@dataclass(frozen=True)
class Input:
    """An image on its way into a graph.

    Attributes:
        tensor: (1, 3, H, W) float32, normalised and padded.
        size: (height, width) in it without padding.
        scale: (width, height) of the image in it over those of the original.
    """
    tensor: np.ndarray
    size: Size
    scale: tuple[float, float]


def prepare(pixels: np.ndarray, image: Mapping[str, Any], size: Size | None,
            fill: str = 'mean') -> Input:
    """Resizes, normalises and pads.

    Args:
        pixels: (H, W, 3) uint8, BGR.
        image: See `Description.image`.
        size: (height, width) of the graph's input; None for any. What the model's own rule makes
            too large for it is made smaller, in the same proportions.
        fill: What stands beside the image: its ``'mean'`` colour, or ``'black'``.
    """
    height, width = pixels.shape[:2]
    (new_width, new_height), scale = _new_size(width, height, image['resize'], size)
    if (new_width, new_height) != (width, height):
        pixels = resize(pixels, (new_width, new_height), image['resize']['interpolation'])
    if image['channels'] == 'rgb':
        pixels = pixels[..., ::-1]
    mean, std = (np.array(image[name], np.float32) for name in ('mean', 'std'))
    divisor = image['divisor']
    rows, columns = size or tuple(-(-side // divisor) * divisor
                                  for side in (new_height, new_width))
    tensor = np.zeros((1, 3, rows, columns), np.float32)
    if fill == 'black':
        tensor += (-mean / std)[:, None, None]
    tensor[0, :, :new_height, :new_width] = (
        (pixels.astype(np.float32) - mean) / std).transpose(2, 0, 1)
    return Input(tensor, (new_height, new_width), scale)


def _new_size(width: int, height: int, rule: Mapping[str, Any],
              size: Size | None) -> tuple[Size, tuple[float, float]]:
    """New (width, height) of an image, and what it was multiplied by."""
    exact = None
    if rule['rule'] == 'long_side':
        new, exact = long_side_size(width, height, rule['long'])
    else:
        new = short_side_size(width, height, rule['short'], rule['long'])
    if size is not None and (new[0] > size[1] or new[1] > size[0]):
        factor, exact = min(size[1] / width, size[0] / height), None
        new = tuple(max(int(side * factor + 1e-6), 1) for side in (width, height))
    return new, (exact, exact) if exact else (new[0] / width, new[1] / height)
