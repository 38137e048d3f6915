"""The words of the shapes world and the three groups of their combinations.

A category is one word of each kind, joined in the order size, colour, texture, shape: 'large red
striped circle'. The combinations fall into three groups that never change with the seed of a data
set, so that a model trained on one set can be judged on another:

* **seen**: categories of the detection training set; they also occur in captions.
* **unseen**: one fifth of the combinations of the same words. They occur in no training image and
  no caption. For every size, colour and texture exactly one shape is held back, a different one
  as any single word changes, so that every word, every pair and every triple of words still
  occurs among the seen combinations.
* **caption only**: combinations with at least one of the words of :data:`CAPTION_ONLY_COLOURS`
  and :data:`CAPTION_ONLY_SHAPES`, which only the captions of the grounding set teach.
"""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

#: Word -> side of the drawn object in pixels of a 192 pixel image, [lowest, highest].
SIZES: dict[str, tuple[float, float]] = {'small': (24., 34.), 'large': (52., 78.)}
#: Word -> RGB. Every two lie more than 40 apart in CIELAB, far beyond the jitter of the drawing.
COLOURS: dict[str, tuple[int, int, int]] = {
    'red': (210, 28, 36), 'green': (30, 150, 62), 'blue': (24, 104, 214), 'yellow': (250, 218, 30),
    'purple': (136, 34, 156), 'orange': (250, 130, 16), 'pink': (252, 150, 200)}
TEXTURES: tuple[str, ...] = ('plain', 'striped', 'dotted')
#: Word -> largest rotation in degrees either way: below what makes a square a diamond, say.
SHAPES: dict[str, float] = {
    'circle': 180., 'square': 8., 'triangle': 12., 'star': 15., 'cross': 9., 'heart': 14.}
CAPTION_ONLY_COLOURS: tuple[str, ...] = ('pink',)
CAPTION_ONLY_SHAPES: tuple[str, ...] = ('heart',)
#: Seed of the choice of unseen combinations; a new value makes a new benchmark.
SPLIT_SEED = 2112


@dataclass(frozen=True)
class Combination:
    """One category: a word of each kind.

    Args:
        size: A key of :data:`SIZES`.
        colour: A key of :data:`COLOURS`.
        texture: One of :data:`TEXTURES`.
        shape: A key of :data:`SHAPES`.
    """
    size: str
    colour: str
    texture: str
    shape: str

    @property
    def terms(self) -> tuple[str, str, str, str]:
        """The four words in the order of the category name; the noun comes last."""
        return self.size, self.colour, self.texture, self.shape

    @property
    def name(self) -> str:
        """The category name."""
        return ' '.join(self.terms)


@dataclass(frozen=True)
class Splits:
    """The three disjoint groups of combinations, each in the order of the vocabulary."""
    seen: tuple[Combination, ...]
    unseen: tuple[Combination, ...]
    caption_only: tuple[Combination, ...]

    def names(self) -> dict[str, list[str]]:
        """Group name -> category names, as written to ``splits.json``."""
        return {group: [combination.name for combination in getattr(self, group)]
                for group in ('seen', 'unseen', 'caption_only')}


def all_combinations() -> tuple[Combination, ...]:
    """Every category of the world, in a fixed order that also gives the category ids."""
    return tuple(Combination(size, colour, texture, shape) for size in SIZES for colour in COLOURS
                 for texture in TEXTURES for shape in SHAPES)


@lru_cache(maxsize=1)
def splits() -> Splits:
    """The groups of the world; see the head of this file for the rule."""
    rng = np.random.default_rng(SPLIT_SEED)
    colours = _shuffled(rng, (word for word in COLOURS if word not in CAPTION_ONLY_COLOURS))
    textures = _shuffled(rng, TEXTURES)
    sizes = _shuffled(rng, SIZES)
    shapes = _shuffled(rng, (word for word in SHAPES if word not in CAPTION_ONLY_SHAPES))
    seen, unseen, caption_only = [], [], []
    for item in all_combinations():
        if item.colour in CAPTION_ONLY_COLOURS or item.shape in CAPTION_ONLY_SHAPES:
            caption_only.append(item)
            continue
        # A Latin-square rule: the weights differ from zero modulo the number of shapes, so that
        # changing one word alone always changes the shape that is held back.
        turn = (colours.index(item.colour) + textures.index(item.texture)
                + 2 * sizes.index(item.size)) % len(shapes)
        (unseen if shapes.index(item.shape) == turn else seen).append(item)
    return Splits(tuple(seen), tuple(unseen), tuple(caption_only))


def _shuffled(rng: np.random.Generator, terms: Iterable[str]) -> list[str]:
    terms = list(terms)
    return [terms[index] for index in rng.permutation(len(terms))]
