"""Arithmetic on single boxes, as conversion needs it."""
from __future__ import annotations

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels, exclusive right and bottom edge."""


def area(box: Box) -> float:
    """Area of a box in square pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])


def xywh(box: Box) -> list[float]:
    """A box as COCO files hold it: x, y, width, height."""
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]
