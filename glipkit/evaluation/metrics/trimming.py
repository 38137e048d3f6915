"""Boxes one pixel smaller, as in the evaluation of Li et al., CVPR 2022.

The boxes of that code are inclusive pixels, and its evaluations of LVIS and Flickr30k take x2 and
y2 as exclusive edges: every predicted box loses a pixel of its width and height.
"""
from __future__ import annotations

import numpy as np


def is_trimmed(trim_pixel: bool, add_pixel: bool | None) -> bool:
    """The setting of a metric; version 0.1 had its opposite, ``add_pixel``."""
    return trim_pixel if add_pixel is None else not add_pixel


def trim(boxes: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) xyxy with x2 and y2 one pixel less, but never below x1 and y1; a copy."""
    return np.concatenate([boxes[:, :2], np.maximum(boxes[:, 2:] - 1, boxes[:, :2])], axis=1)
