"""Pictures to try the page with, and words for them; none of them is a file of this package."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from glipkit.apis.index import entry_of
from glipkit.common.packages import package_file
from glipkit.files import write_encoded
from glipkit.worlds.shapes import draw_scene

#: Side of a drawn picture in pixels.
SIDE = 384


@dataclass(frozen=True)
class Example:
    """A picture and words for things in it.

    Args:
        name: Name of its file.
        title: What is in it, in a word or two.
        words: As they are typed.
        make: Makes the picture.
    """

    name: str
    title: str
    words: str
    make: Callable[[], Image.Image]


def _drawn(names: Sequence[str], seed: int) -> Image.Image:
    return draw_scene(names, SIDE, np.random.default_rng(seed))[0]


def _photograph(name: str) -> Image.Image:
    """A photograph that comes with scikit-image."""
    return Image.open(package_file('skimage', f'data/{name}')).convert('RGB')


_SHAPES = (
    ('shapes', 19, ['large red plain circle', 'large blue dotted star',
                    'large yellow striped square', 'small green plain triangle']),
    ('more shapes', 20, ['large orange striped star', 'large purple dotted circle',
                         'large green plain cross', 'small red plain square',
                         'small blue striped circle']))
#: The seeds are of pictures in which nothing covers another.
DRAWN = tuple(Example(f'{title.replace(" ", "-")}.png', title, ', '.join(names),
                      partial(_drawn, names, seed)) for title, seed, names in _SHAPES)
PHOTOGRAPHS = tuple(Example(file, title, words, partial(_photograph, file))
                    for file, title, words in (('coffee.png', 'coffee', 'cup, spoon'),
                                               ('coins.png', 'coins', 'coin'),
                                               ('chelsea.png', 'a cat', 'cat')))


def examples_for(model: str | Path) -> tuple[Example, ...]:
    """Examples that a model knows something of: drawn ones where shapes are all it knows."""
    entry = entry_of(model)
    if entry is not None and 'shapes' in entry.about:
        return DRAWN
    return tuple(one for one in PHOTOGRAPHS if package_file('skimage', f'data/{one.name}'))


def write_examples(examples: Sequence[Example], folder: Path) -> list[Path]:
    """Writes the pictures of examples into a folder; those that are there stay."""
    files = [folder / example.name for example in examples]
    for example, file in zip(examples, files):
        if not file.is_file():
            picture = example.make()
            write_encoded(file, lambda stream, picture=picture: picture.save(stream, 'PNG'))
    return files
