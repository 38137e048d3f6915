"""The world of the RegionCLIP benchmark: plain shapes of two sizes, named by colour and shape.

A name says nothing of the size, so that it can be asked of things of which one in two is smaller
than a cell of the map. Half of the names are base, the other half novel: every colour and every
shape is in both.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from glipkit.runs.locks import locked
from glipkit.worlds.captions import Thing
from glipkit.worlds.shape_vocabulary import COLOURS, SHAPES, SIZES
from glipkit.worlds.shapes import OBJECTS, draw_scene
from glipkit.worlds.world import World, build_world
from glipkit.worlds.world_files import read_manifest

TITLE = 'region-clip'
NAMES = tuple(f'{colour} {shape}' for colour in COLOURS for shape in SHAPES)
#: Every second name, so that colours and shapes alternate.
BASE = tuple(f'{colour} {shape}' for i, colour in enumerate(COLOURS)
             for j, shape in enumerate(SHAPES) if (i + j) % 2 == 0)
NOVEL = tuple(name for name in NAMES if name not in BASE)
#: Side of the pictures as they are drawn; models see them half as large.
SIDE = 192
#: Long side, in pixels of the drawn picture, that no small thing reaches and every large one does.
SMALL = (SIZES['small'][1] + SIZES['large'][0]) / 2


def make_world(folder: Path, pictures: int, val_pictures: int, workers: int | None = 1) -> None:
    """Draws the world, once, however many processes ask for it.

    Args:
        folder: Folder of the world.
        pictures: Detection pictures, and as many captioned ones.
        val_pictures: Pictures to score on.
        workers: Processes that draw.
    """
    world = World(TITLE, dict(seen=NAMES, unseen=(), caption_only=()),
                  {name: name.split()[-1] for name in NAMES}, draw, OBJECTS, dict(version=1))
    with locked(folder.with_suffix('.lock')):
        made = read_manifest(folder, TITLE) if folder.exists() else None
        if made is None or not made['complete']:
            build_world(world, folder, 0, dict(train_det=pictures, train_grd=pictures,
                                               val=val_pictures), SIDE, workers)


def draw(names: Sequence[str], image_size: int,
         rng: np.random.Generator) -> tuple[Image.Image, list[Thing]]:
    """A picture of the shapes world whose things have any size, and no texture."""
    words = [name.split() for name in names]
    sizes = rng.integers(len(SIZES), size=len(names))
    full = [f'{list(SIZES)[size]} {colour} plain {shape}'
            for size, (colour, shape) in zip(sizes, words)]
    picture, things = draw_scene(full, image_size, rng)
    return picture, [Thing((thing.terms[1], thing.terms[3]), thing.box) for thing in things]
