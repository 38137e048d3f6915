"""Drawing of single shapes, with PIL and numpy alone.

Everything is drawn :data:`OVERSAMPLING` times too large and averaged down, so edges are smooth and
a box can be read off the fine mask to a quarter of a pixel.
"""
from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from glipkit.worlds.patches import Patch
from glipkit.worlds.shape_vocabulary import COLOURS, SHAPES, SIZES, Combination

OVERSAMPLING = 4
#: The image side for which SIZES is written.
REFERENCE_SIDE = 192


def draw_patch(combination: Combination, image_size: int, rng: np.random.Generator) -> Patch:
    """Draw one object with random size (within its word), rotation, tint and texture phase.

    Args:
        combination: The category to draw.
        image_size: Side in pixels of the image that it is meant for; sizes scale with it.
        rng: Random generator.
    """
    low, high = SIZES[combination.size]
    side = rng.uniform(low, high) * image_size / REFERENCE_SIDE
    mask = _shape_mask(combination.shape, side * OVERSAMPLING, rng)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = tuple(float(edge) / OVERSAMPLING
                for edge in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    alpha = _shrink(mask)
    inked = _shrink(mask & _second_tone(combination.texture, mask.shape, side, rng))
    first, second = _tones(combination.colour, rng)
    height, width = alpha.shape[:2]
    ramp = (np.linspace(-1, 1, width, dtype=np.float32)[None] * rng.uniform(-.1, .1)
            + np.linspace(-1, 1, height, dtype=np.float32)[:, None] * rng.uniform(-.1, .1))
    colour = (first * (alpha - inked) + second * inked) * (1 + ramp[..., None])
    return Patch(np.minimum(colour, 255 * alpha).astype(np.float32), alpha, box)


def _shape_mask(shape: str, side: float, rng: np.random.Generator) -> np.ndarray:
    """Fine mask, bool (H, W), sides multiples of OVERSAMPLING; the shape is ``side`` long."""
    points = _outline(shape, rng)
    turn = math.radians(rng.uniform(-SHAPES[shape], SHAPES[shape]))
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    points = points @ rotation.T
    points -= points.min(0)
    # A random fraction of a pixel of margin, or all edges would lie on pixel borders.
    points = points * (side / points.max()) + rng.uniform(0, OVERSAMPLING, 2)
    width, height = (math.ceil((edge + 1) / OVERSAMPLING) * OVERSAMPLING for edge in points.max(0))
    image = Image.new('1', (width, height))
    ImageDraw.Draw(image).polygon([tuple(point) for point in points.tolist()], fill=1)
    return np.asarray(image)


def _outline(shape: str, rng: np.random.Generator) -> np.ndarray:
    """Corner points (N, 2) of the upright shape, in any scale."""
    if shape == 'circle':
        return _on_circle(np.arange(90) * 4.)
    if shape == 'square':
        return _on_circle(np.arange(4) * 90. + 45)
    if shape == 'triangle':
        return _on_circle(np.arange(3) * 120.) * (1., rng.uniform(.95, 1.1))
    if shape == 'star':
        radii = np.where(np.arange(10) % 2, rng.uniform(.4, .46), 1.)
        return _on_circle(np.arange(10) * 36.) * radii[:, None]
    if shape == 'cross':
        arm = rng.uniform(.27, .33)
        quarter = np.array([[-arm, -1], [arm, -1], [arm, -arm]])
        turns = [np.linalg.matrix_power(np.array([[0., -1.], [1., 0.]]), k) for k in range(4)]
        return np.concatenate([quarter @ turn.T for turn in turns])
    if shape == 'heart':
        t = np.linspace(0, 2 * math.pi, 90, endpoint=False)
        return np.stack([16 * np.sin(t)**3, -13 * np.cos(t) + 5 * np.cos(2 * t)
                         + 2 * np.cos(3 * t) + np.cos(4 * t)], 1)
    raise KeyError(shape)


def _on_circle(degrees: np.ndarray) -> np.ndarray:
    """Points of the unit circle, clockwise from the top (y points down)."""
    angles = np.radians(degrees)
    return np.stack([np.sin(angles), -np.cos(angles)], 1)


def _second_tone(texture: str, shape: tuple[int, int], side: float,
                 rng: np.random.Generator) -> np.ndarray:
    """Bool (H, W): where the texture has its second tone. ``side`` is in image pixels."""
    if texture == 'plain':
        return np.zeros(shape, bool)
    # Never finer than six pixels, or small objects would blur to one tone.
    period = max(6., side / rng.uniform(5., 6.)) * OVERSAMPLING
    angle = rng.uniform(0, math.pi)
    y, x = np.indices(shape, dtype=np.float32)
    along = (x * math.cos(angle) + y * math.sin(angle)) / period + rng.random()
    if texture == 'striped':
        return along % 1 < .42
    across = (y * math.cos(angle) - x * math.sin(angle)) / period + rng.random()
    return (along % 1 - .5)**2 + (across % 1 - .5)**2 < .34**2


def _tones(colour: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The colour with a slight tint and the second tone that stands out from it, RGB float32."""
    first = np.clip(np.array(COLOURS[colour]) * rng.uniform(.9, 1.08)
                    + rng.uniform(-9, 9, 3), 0, 255)
    bright = first @ (.299, .587, .114) > 125
    second = rng.uniform(10, 45, 3) if bright else rng.uniform(225, 250, 3)
    return first.astype(np.float32), second.astype(np.float32)


def _shrink(mask: np.ndarray) -> np.ndarray:
    """Average of blocks of OVERSAMPLING x OVERSAMPLING: bool (H, W) -> float32 (H/4, W/4, 1)."""
    image = Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
    return np.asarray(image.reduce(OVERSAMPLING), np.float32)[..., None] / 255
