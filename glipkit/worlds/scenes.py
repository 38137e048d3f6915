"""Shapes in large pictures, and shapes that move: pictures for tiles and videos, with the truth."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from glipkit.worlds.backgrounds import draw_clutter
from glipkit.worlds.patches import Box, Patch, find_place
from glipkit.worlds.shape_drawing import draw_patch
from glipkit.worlds.shape_vocabulary import Combination

#: Redraws of a shape that found no room.
REDRAWS = 4


def draw_large(names: Sequence[str], frames: Sequence[int], width: int, height: int,
               rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[str, Box]]]:
    """A large picture of shapes.

    Args:
        names: Categories of the shapes, each drawn once; one that finds no room is left out.
        frames: For each, the side of the picture that its size is meant for: a small shape of a
            picture of 400 pixels is as large in one of 3000.
        width: Of the picture.
        height: Of the picture, not more than its width.
        rng: Random generator.

    Returns:
        (H, W, 3) uint8 RGB, and name and box of each shape, xyxy pixels.
    """
    canvas = draw_clutter(width, rng)[:height].copy()
    things: list[tuple[str, Box]] = []
    for name, frame in zip(names, frames):
        for _ in range(REDRAWS):
            patch = draw_patch(Combination(*name.split()), frame, rng)
            place = find_place(patch, (width, height), [box for _, box in things], rng)
            if place is not None:
                patch.paste(canvas, *place)
                things.append((name, patch.box_at(*place)))
                break
    return _pixels(canvas), things


@dataclass(frozen=True, eq=False)
class Mover:
    """A shape on its way.

    Args:
        name: Its category.
        patch: What it looks like.
        start: Left and top at the first frame, in pixels.
        speed: Pixels per frame to the right and down; it turns back at the edges.
    """

    name: str
    patch: Patch
    start: tuple[float, float]
    speed: tuple[float, float]

    def place(self, frame: int, width: int, height: int) -> tuple[int, int]:
        """Left and top in a frame, whole pixels."""
        room = width - self.patch.alpha.shape[1], height - self.patch.alpha.shape[0]
        return tuple(_bounced(begin + step * frame, most)
                     for begin, step, most in zip(self.start, self.speed, room))


@dataclass(frozen=True, eq=False)
class MovingScene:
    """Shapes that move in front of a background that stays."""

    background: np.ndarray
    movers: tuple[Mover, ...]

    def frames(self, count: int) -> Iterator[tuple[np.ndarray, list[Box]]]:
        """(H, W, 3) uint8 RGB of each frame, and the box of each mover, in their order."""
        height, width = self.background.shape[:2]
        for frame in range(count):
            canvas, boxes = self.background.copy(), []
            for mover in self.movers:
                place = mover.place(frame, width, height)
                mover.patch.paste(canvas, *place)
                boxes.append(mover.patch.box_at(*place))
            yield _pixels(canvas), boxes


def moving_scene(names: Sequence[str], width: int, height: int, rng: np.random.Generator,
                 speed: float = 2.) -> MovingScene:
    """Shapes that move from side to side, each in a lane of its own, so that none hides another.

    Args:
        names: Category of each shape, one per lane from the top.
        width: Of the frames.
        height: Of the frames; a lane has its share of it.
        rng: Random generator.
        speed: Pixels per frame of the fastest.
    """
    lane = height / len(names)
    movers = []
    for i, name in enumerate(names):
        patch = draw_patch(Combination(*name.split()), min(width, height), rng)
        tall, wide = patch.alpha.shape[:2]
        top = i * lane + max(lane - tall, 0) / 2
        start = (rng.uniform(0, max(width - wide, 0)), min(top, height - tall))
        movers.append(Mover(name, patch, start, (rng.uniform(.5, 1) * rng.choice((-1, 1)) * speed,
                                                 0.)))
    side = max(width, height)
    return MovingScene(draw_clutter(side, rng)[:height, :width], tuple(movers))


def _bounced(position: float, most: int) -> int:
    """A position that goes forth and back between 0 and the most."""
    if most <= 0:
        return 0
    along = position % (2 * most)
    return round(min(along, 2 * most - along))


def _pixels(canvas: np.ndarray) -> np.ndarray:
    return np.clip(canvas, 0, 255).astype(np.uint8)
