"""The things world: plain shapes of two sizes, named by colour and shape alone.

A name says nothing of the size, so that the same name is asked of things that fill a cell of a
detector's map and of things that are smaller than one. All names occur in all pictures; half of
them are base, the other half novel, every colour and every shape in both: a detector that trains on
the boxes of base names (``metainfo=dict(classes=BASE)``) sees novel things without a box.
:mod:`.world` has the layout of the files; ``names.txt`` is beside them, a concept pool to embed.

Example:
    >>> from glipkit.worlds import things
    >>> manifest = things.build('data/things')
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glipkit.files import write_text
from glipkit.worlds.captions import Thing
from glipkit.worlds.shape_vocabulary import COLOURS, SHAPES, SIZES
from glipkit.worlds.shapes import OBJECTS, draw_scene
from glipkit.worlds.world import World, build_world

#: All names, and every second of them: colours and shapes alternate.
NAMES = tuple(f'{colour} {shape}' for colour in COLOURS for shape in SHAPES)
BASE = tuple(f'{colour} {shape}' for i, colour in enumerate(COLOURS)
             for j, shape in enumerate(SHAPES) if (i + j) % 2 == 0)
NOVEL = tuple(name for name in NAMES if name not in BASE)
#: Long side as a share of the picture's, below which a thing is small.
SMALL = (SIZES['small'][1] + SIZES['large'][0]) / 2 / 192

DEFAULT_TRAIN_DET = 800
DEFAULT_TRAIN_GRD = 800
DEFAULT_VAL = 200
DEFAULT_IMAGE_SIZE = 192
DEFAULT_SEED = 0
#: Raise when the drawing changes, so that worlds on disk are made anew.
VERSION = 1


def build(out_dir: str | Path, seed: int = DEFAULT_SEED, num_train_det: int = DEFAULT_TRAIN_DET,
          num_train_grd: int = DEFAULT_TRAIN_GRD, num_val: int = DEFAULT_VAL,
          image_size: int = DEFAULT_IMAGE_SIZE, *, masks: bool = False,
          workers: int | None = None) -> dict[str, Any]:
    """Makes a things world on disk; nothing is done where the same one is already complete.

    Args:
        out_dir: Folder of the world.
        seed: Random seed.
        num_train_det: Detection pictures.
        num_train_grd: Captioned pictures.
        num_val: Validation pictures.
        image_size: Side of the pictures in pixels.
        masks: Whether to write the pixels of things too, see :mod:`.mask_files`.
        workers: Processes that draw; None takes two for many pictures. Has no effect on the result.

    Returns:
        The manifest, with counts per split.

    Raises:
        UserError: For impossible numbers, or when ``out_dir`` holds other files.
    """
    world = World('things', dict(seen=NAMES, unseen=(), caption_only=()),
                  {name: name.split()[-1] for name in NAMES}, draw, OBJECTS, dict(version=VERSION))
    sizes = dict(train_det=num_train_det, train_grd=num_train_grd, val=num_val)
    manifest = build_world(world, out_dir, seed, sizes, image_size, workers, masks)
    write_text(Path(out_dir) / 'names.txt', ''.join(f'{name}\n' for name in NAMES))
    return manifest


def draw(names: Sequence[str], image_size: int,
         rng: np.random.Generator) -> tuple[Image.Image, list[Thing]]:
    """A picture of the shapes world whose things have any size and no texture; see
    :func:`~.shapes.draw_scene`."""
    sizes = rng.integers(len(SIZES), size=len(names))
    full = [' '.join((list(SIZES)[size], name.split()[0], 'plain', name.split()[1]))
            for size, name in zip(sizes, names)]
    picture, things = draw_scene(full, image_size, rng)
    return picture, [Thing((thing.terms[1], thing.terms[3]), thing.box, thing.cover)
                     for thing in things]
