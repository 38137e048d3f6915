"""Where the tiles of an image lie."""
from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from glipkit.errors import UserError

#: Share of a tile that the next one sees too.
OVERLAP = .2
#: Smallest tile.
SMALLEST = 32


@dataclass(frozen=True)
class Tiles:
    """Side of square tiles in pixels of the image, and the share of it that the next one sees.

    Raises:
        UserError: Numbers outside their range.
    """

    side: int
    overlap: float = OVERLAP

    def __post_init__(self) -> None:
        if not isinstance(self.side, Integral) or self.side < SMALLEST:
            raise UserError(f'a tile of at least {SMALLEST} pixels', repr(self.side),
                            'pass e.g. 800')
        if not isinstance(self.overlap, Real) or not 0 < self.overlap <= .9:
            raise UserError('an overlap of tiles above 0 and up to 0.9', repr(self.overlap),
                            'pass e.g. 0.2')

    @property
    def shared(self) -> int:
        """Pixels that two neighbours both see; what is smaller some tile sees whole."""
        return max(round(self.side * self.overlap), 1)

    def windows(self, height: int, width: int) -> np.ndarray:
        """(W, 4) xyxy whole pixels: the whole image first, then tiles of one size, row by row.

        Args:
            height: Of the image.
            width: Of the image. Where an image is not larger than a tile there is no tile.
        """
        whole = [0, 0, width, height]
        if max(height, width) <= self.side:
            return np.array([whole])
        tall, wide = min(self.side, height), min(self.side, width)
        return np.array([whole, *([left, top, left + wide, top + tall]
                                  for top in self._begins(height) for left in self._begins(width))])

    def _begins(self, length: int) -> list[int]:
        """Where tiles begin along a side; the last one ends with the image."""
        if length <= self.side:
            return [0]
        count = -(-(length - self.shared) // (self.side - self.shared))
        return np.linspace(0, length - self.side, count).round().astype(int).tolist()
