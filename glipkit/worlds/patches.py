"""Cut-out objects, and where in a picture they find room."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Box = tuple[float, float, float, float]

#: Largest allowed intersection of two boxes, as a share of the smaller one; their IoU is below it.
OVERLAP = .1
#: Random places tried before an object counts as too big for the room that is left.
ATTEMPTS = 60


#: A pixel is a thing's own from this share of its densest pixel on.
COVERED = .5


@dataclass(frozen=True, eq=False)
class Cover:
    """The pixels of a thing in a picture.

    Args:
        alpha: (h, w) coverage, 0-1.
        left: First column in the picture.
        top: First row.
    """
    alpha: np.ndarray
    left: int
    top: int

    def fill(self, numbers: np.ndarray, number: int) -> None:
        """Writes a number to its pixels of an array (H, W), in place."""
        height, width = self.alpha.shape
        area = numbers[self.top:self.top + height, self.left:self.left + width]
        area[self.alpha >= COVERED * self.alpha.max()] = number


@dataclass(frozen=True)
class Patch:
    """A drawn object, cut out.

    Args:
        colour: (h, w, 3) float32, 0-255, already multiplied by ``alpha``.
        alpha: (h, w, 1) float32 coverage, 0-1.
        box: xyxy in pixels of the patch, exclusive right and bottom edge.
    """
    colour: np.ndarray
    alpha: np.ndarray
    box: Box

    def box_at(self, left: int, top: int) -> Box:
        """The box in the picture when the patch's corner is at left, top."""
        return (self.box[0] + left, self.box[1] + top, self.box[2] + left, self.box[3] + top)

    def cover_at(self, left: int, top: int) -> Cover:
        """The pixels that it covers when its corner is at left, top."""
        return Cover(self.alpha[..., 0], left, top)

    def paste(self, canvas: np.ndarray, left: int, top: int) -> None:
        """Lay the patch over ``canvas`` (H, W, 3) float32 in place, its corner at left, top."""
        height, width = self.alpha.shape[:2]
        area = canvas[top:top + height, left:left + width]
        area *= 1 - self.alpha
        area += self.colour


def find_place(patch: Patch, image_size: int | tuple[int, int], taken: Sequence[Box],
               rng: np.random.Generator) -> tuple[int, int] | None:
    """A random corner for a patch so that its box hides, and is hidden by, little of the others.

    Args:
        patch: Patch to place; it stays completely inside the picture.
        image_size: Side of the picture, or its width and height.
        taken: Boxes already placed, xyxy in the picture.
        rng: Random generator.

    Returns:
        Left and top of the patch, or None when it found no room.
    """
    height, width = patch.alpha.shape[:2]
    wide, tall = (image_size, image_size) if isinstance(image_size, int) else image_size
    if width > wide or height > tall:
        return None
    for _ in range(ATTEMPTS):
        left = int(rng.integers(0, wide - width + 1))
        top = int(rng.integers(0, tall - height + 1))
        box = patch.box_at(left, top)
        if all(_shared_area(box, other) <= OVERLAP * min(_area(box), _area(other))
               for other in taken):
            return left, top
    return None


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shared_area(first: Box, second: Box) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0) * max(height, 0)
