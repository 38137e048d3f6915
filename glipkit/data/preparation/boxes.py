"""Arithmetic on single boxes, as conversion needs it."""
from __future__ import annotations

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels, exclusive right and bottom edge."""


def area(box: Box) -> float:
    """In square pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])


def overlap(a: Box, b: Box) -> float:
    """Intersection over union; exactly 1 for equal boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.
    both = width * height
    return both / (area(a) + area(b) - both)


def xywh(box: Box) -> list[float]:
    """As COCO files hold it."""
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]
