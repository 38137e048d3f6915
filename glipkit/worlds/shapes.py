"""The shapes world: coloured, textured, sized shapes on cluttered backgrounds, drawn from a seed.

Hermetic data for tests and the demo: detection annotations, captions with spans, and a validation
set whose categories the training set showed (seen), never showed (unseen combinations of known
words) or named in captions alone. :mod:`.shape_vocabulary` has the words and the groups,
:mod:`.captions` the grammar, :mod:`.world` the layout of the files.

Example:
    >>> from glipkit.worlds import shapes
    >>> manifest = shapes.build('data/shapes')
    >>> manifest['counts']['val']['unseen']
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glipkit.worlds.backgrounds import draw_clutter
from glipkit.worlds.captions import Thing
from glipkit.worlds.patches import Box, Patch, find_place
from glipkit.worlds.shape_drawing import draw_patch
from glipkit.worlds.shape_vocabulary import Combination, all_combinations, splits
from glipkit.worlds.world import World, build_world

#: Sizes of the demo's world.
DEFAULT_TRAIN_DET = 4000
DEFAULT_TRAIN_GRD = 4000
DEFAULT_VAL = 200
DEFAULT_IMAGE_SIZE = 192
DEFAULT_SEED = 0
#: Fewest and most objects that a picture is planned with; one that finds no room is left out.
OBJECTS = (2, 6)
#: Redraws (each with another size and rotation) of an object that found no room.
REDRAWS = 4
#: Raise when the drawing or the grammar changes, so that worlds on disk are made anew.
VERSION = 1


def build(out_dir: str | Path, seed: int = DEFAULT_SEED, num_train_det: int = DEFAULT_TRAIN_DET,
          num_train_grd: int = DEFAULT_TRAIN_GRD, num_val: int = DEFAULT_VAL,
          image_size: int = DEFAULT_IMAGE_SIZE, *, masks: bool = False,
          workers: int | None = None) -> dict[str, Any]:
    """Make a shapes world on disk; nothing is done where the same one is already complete.

    Args:
        out_dir: Folder of the world, laid out as :mod:`.world` says.
        seed: Random seed; the groups of categories do not depend on it.
        num_train_det: Detection pictures (seen combinations).
        num_train_grd: Captioned pictures (seen and caption-only combinations).
        num_val: Validation pictures (all three groups, in equal parts).
        image_size: Side of the pictures in pixels.
        masks: Whether to write the pixels of things too, see :mod:`.mask_files`.
        workers: Processes that draw; None takes two for many pictures. Has no effect on the result.

    Returns:
        The manifest, with counts per split and group.

    Raises:
        UserError: For impossible numbers, or when ``out_dir`` holds other files.
    """
    groups = splits().names()
    world = World('shapes', groups, {item.name: item.shape for item in all_combinations()},
                  draw_scene, OBJECTS, dict(version=VERSION))
    sizes = dict(train_det=num_train_det, train_grd=num_train_grd, val=num_val)
    return build_world(world, out_dir, seed, sizes, image_size, workers, masks)


def draw_scene(names: Sequence[str], image_size: int,
               rng: np.random.Generator) -> tuple[Image.Image, list[Thing]]:
    """Draw a picture with as many of the named categories as find room, at least the first.

    Args:
        names: Category names.
        image_size: Side in pixels.
        rng: Random generator.

    Returns:
        The picture, RGB, and what is in it, with boxes tight around each whole object (where one
        hides the edge of another too).
    """
    canvas = draw_clutter(image_size, rng)
    things: list[Thing] = []
    for name in names:
        combination = Combination(*name.split())
        placed = _place(combination, image_size, [thing.box for thing in things], rng)
        if placed is not None:
            patch, left, top = placed
            patch.paste(canvas, left, top)
            things.append(Thing(combination.terms, patch.box_at(left, top),
                                patch.cover_at(left, top)))
    canvas += rng.uniform(0, 7) * rng.standard_normal(canvas.shape, np.float32)
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)), things


def _place(combination: Combination, image_size: int, taken: Sequence[Box],
           rng: np.random.Generator) -> tuple[Patch, int, int] | None:
    """A drawing of the object and its place, or None."""
    for _ in range(REDRAWS):
        patch = draw_patch(combination, image_size, rng)
        place = find_place(patch, image_size, taken, rng)
        if place is not None:
            return patch, *place
    return None
