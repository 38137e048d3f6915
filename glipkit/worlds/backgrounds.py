"""Backgrounds without a nameable thing in them, from a seed and, where asked, photographs."""
from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from glipkit.common.packages import package_file

#: Photographs of surfaces that come with scikit-image. Its others show things with a name.
SURFACE_PHOTOGRAPHS = ('brick.png', 'grass.png', 'gravel.png', 'moon.png')
#: Share of the surfaces that are taken from a photograph, where there are any.
PHOTOGRAPHED = .5


def draw_clutter(side: int, rng: np.random.Generator) -> np.ndarray:
    """A dull but busy background: gradient, clouds of noise, faint blobs and lines.

    Returns:
        (side, side, 3) float32, 0-255.
    """
    start, end = _dull_colour(rng), _dull_colour(rng)
    angle = rng.uniform(0, 2 * math.pi)
    axis = np.linspace(-.5, .5, side, dtype=np.float32)
    ramp = axis[None] * math.cos(angle) + axis[:, None] * math.sin(angle) + .5
    canvas = start + (end - start) * .5 * ramp[..., None]
    for cells in (3, 6, 12, 24, 48):
        canvas = canvas + rng.uniform(2, 22) * cells**-.25 * _cloud(side, (cells, cells), rng)
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    _draw_blobs(image, rng)
    _draw_lines(image, rng)
    return np.asarray(image, dtype=np.float32)


def draw_scenery(side: int, rng: np.random.Generator,
                 photographs: Sequence[Path] = ()) -> np.ndarray:
    """A photo-like background: one blurred natural surface, or two with a horizon between them.

    Args:
        side: Width and height in pixels.
        rng: Random generator.
        photographs: Pictures of surfaces, from which about half of the surfaces are taken.

    Returns:
        (side, side, 3) float32, 0-255.
    """
    canvas = _surface(side, rng, photographs)
    if rng.random() < .5:
        ground = _surface(side, rng, photographs)
        heights = np.arange(side, dtype=np.float32)[:, None, None]
        uneven = rng.uniform(0, .06) * side * _cloud(side, (2, 9), rng)[:1]
        horizon = rng.uniform(.25, .75) * side + uneven
        canvas += (ground - canvas) * np.clip((heights - horizon) / rng.uniform(1, 9) + .5, 0, 1)
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.6))), np.float32)


#: Dark and light RGB ends of natural surfaces: leaves, grass, sand, wood, stone, sky, water, wall.
SURFACES = (((24, 46, 20), (120, 150, 84)), ((52, 84, 30), (164, 186, 92)),
            ((150, 124, 84), (228, 208, 168)), ((64, 40, 24), (176, 126, 82)),
            ((66, 64, 62), (178, 174, 168)), ((104, 148, 204), (226, 236, 246)),
            ((20, 52, 84), (116, 164, 186)), ((170, 160, 146), (236, 230, 220)))


def surface_photographs() -> list[Path]:
    """The photographs of surfaces that are installed here; none without scikit-image."""
    paths = (package_file('skimage', f'data/{name}') for name in SURFACE_PHOTOGRAPHS)
    return [path for path in paths if path is not None]


def _surface(side: int, rng: np.random.Generator, photographs: Sequence[Path]) -> np.ndarray:
    """A pattern between the two colours of a surface, (side, side, 3) float32."""
    dark, light = np.array(SURFACES[rng.integers(len(SURFACES))], np.float32)
    if photographs and rng.random() < PHOTOGRAPHED:
        level = _crop(photographs[rng.integers(len(photographs))], side, rng)
    else:
        level = _noise(side, rng)
    uneven, even = rng.uniform(-14, 14, 3), rng.uniform(-16, 16, 3)
    tint = _cloud(side, (4, 4), rng) * uneven.astype(np.float32) + even.astype(np.float32)
    return dark + (light - dark) * level + tint


def _crop(path: Path, side: int, rng: np.random.Generator) -> np.ndarray:
    """A random square of a photograph, in greys of 0 to 1, (side, side, 1) float32."""
    picture = _grey(path)
    edge = round(min(picture.size) * rng.uniform(.3, 1.))
    left, top = (int(rng.integers(room - edge + 1)) for room in picture.size)
    picture = picture.resize((side, side), Image.BICUBIC, (left, top, left + edge, top + edge))
    if rng.random() < .5:
        picture = picture.transpose(Image.FLIP_LEFT_RIGHT)
    return np.asarray(picture, np.float32)[..., None] / 255


@lru_cache(maxsize=16)
def _grey(path: Path) -> Image.Image:
    with Image.open(path) as file:
        return file.convert('L')


def _noise(side: int, rng: np.random.Generator) -> np.ndarray:
    """Multi-octave noise around a half, (side, side, 1) float32."""
    # Grass, wood and water run one way: fewer bumps along it than across.
    stretch = (1, 1) if rng.random() < .5 else (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    roughness = rng.uniform(.45, .95)
    noise = sum(roughness**octave * _cloud(side, (3 * 2**octave // stretch[0] + 1,
                                                  3 * 2**octave // stretch[1] + 1), rng)
                for octave in range(6))
    return .5 + noise * rng.uniform(.12, .45)


def _dull_colour(rng: np.random.Generator) -> np.ndarray:
    """A greyish RGB colour, float32, so that saturated objects stay findable."""
    grey = rng.uniform(60, 205)
    return (grey + rng.uniform(-24, 24, 3)).astype(np.float32)


def _cloud(side: int, cells: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, (side, side, 1) float32 in about -1..1; ``cells`` bumps down and across."""
    coarse = rng.uniform(-1, 1, cells).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.BICUBIC))[..., None]


def _draw_blobs(image: Image.Image, rng: np.random.Generator) -> None:
    """Soft dull patches without a name, as distractors."""
    for _ in range(rng.integers(0, 6)):
        reach = image.width * rng.uniform(.04, .2)
        angles = np.sort(rng.uniform(0, 2 * math.pi, rng.integers(6, 11)))
        points = np.stack([np.cos(angles), np.sin(angles)], 1) * reach
        points = points * rng.uniform(.35, 1., (len(angles), 1)) + rng.uniform(0, image.width, 2)
        stencil = Image.new('L', image.size)
        ImageDraw.Draw(stencil).polygon([tuple(p) for p in points.tolist()],
                                        fill=int(rng.integers(60, 190)))
        stencil = stencil.filter(ImageFilter.GaussianBlur(rng.uniform(.8, 4.)))
        colour = tuple(int(value) for value in np.clip(_dull_colour(rng), 0, 255))
        image.paste(colour, mask=stencil)


def _draw_lines(image: Image.Image, rng: np.random.Generator) -> None:
    """Faint straight lines across the image."""
    draw = ImageDraw.Draw(image, 'RGBA')
    for _ in range(rng.integers(0, 8)):
        ends = [tuple(p) for p in rng.uniform(-.1, 1.1, (2, 2)) * image.width]
        colour = tuple(int(value) for value in np.clip(_dull_colour(rng), 0, 255))
        draw.line(ends, fill=(*colour, int(rng.integers(50, 130))), width=int(rng.integers(1, 4)))
