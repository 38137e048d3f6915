"""Where a dense map sees a word, before and after its distillation, as a picture.

K names of a picture, h and w cells of a map.
"""
from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from PIL import Image

from glipkit.claims.region_clip_scores import Things, Towers
from glipkit.errors import UserError
from glipkit.files import write_encoded

#: Inches of a panel's side, dots of an inch, and points of its words.
PANEL, DOTS, POINTS = 2.1, 90, 11
#: Opacity of a map on its picture.
OPACITY = .65


def draw_before_after(before: Towers, after: Towers, pictures: Sequence[np.ndarray],
                      names: Sequence[Sequence[str]], out: Path, side: int = 192) -> None:
    """Draws a row per picture: itself, and each of its names before and after.

    A map goes from dark, its own lowest cosine, to bright, its highest one, whatever the other maps
    do: what is seen is where it finds a word, and the numbers below it say how far its cosines
    reach.

    Args:
        before: Towers that the distillation began with.
        after: Towers that it ended with.
        pictures: RGB pictures (S, S, 3), square.
        names: Of each picture as many names.
        out: PNG to write.
        side: Side of the pictures that the towers see.

    Raises:
        UserError: No picture, or pictures without the same number of names.
    """
    counts = {len(own) for own in names}
    if not len(pictures) or len(pictures) != len(names) or len(counts) != 1 or 0 in counts:
        raise UserError('pictures with the same number of names each',
                        f'{len(pictures)} pictures with {[len(own) for own in names]} names',
                        'give each picture its names')
    columns = 1 + 2 * counts.pop()
    figure = Figure(figsize=(PANEL * columns, (PANEL + .35) * len(pictures)), dpi=DOTS,
                    layout='constrained')
    axes = figure.subplots(len(pictures), columns, squeeze=False)
    for row, picture, own in zip(axes, pictures, names):
        panels = [('', None)]
        maps = zip(similarity_maps(before, picture, own, side),
                   similarity_maps(after, picture, own, side))
        for name, pair in zip(own, maps):
            panels += [(f'{name}, {when}', cosines)
                       for when, cosines in zip(('before', 'after'), pair)]
        for axis, (title, cosines) in zip(row, panels):
            _draw(axis, picture, title, cosines)
    write_encoded(out, lambda file: _in_few_colours(figure).save(file, 'PNG', optimize=True))


def _draw(axis, picture: np.ndarray, title: str, cosines: np.ndarray | None) -> None:
    """A picture in its axis, in grey under a map (h, w) where there is one."""
    axis.set_xticks([])
    axis.set_yticks([])
    if cosines is None:
        axis.imshow(picture)
        return
    height, width = picture.shape[:2]
    axis.imshow(picture.mean(2), cmap='gray', vmin=0, vmax=255)
    axis.imshow(cosines, cmap='inferno', alpha=OPACITY, interpolation='bilinear',
                extent=(-.5, width - .5, height - .5, -.5))
    axis.set_title(title, fontsize=POINTS)
    axis.set_xlabel(f'{cosines.min():.2f} to {cosines.max():.2f}', fontsize=POINTS)


def _in_few_colours(figure: Figure) -> Image.Image:
    """The figure as a picture with a palette, a quarter of its size in bytes.

    An octree keeps the colours of small things; the median cut turns them into their neighbours'.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return Image.open(buffer).convert('RGB').quantize(
        256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


@torch.no_grad()
def similarity_maps(towers: Towers, picture: np.ndarray, names: Sequence[str],
                    side: int) -> np.ndarray:
    """Cosines (K, h, w) of the cells of a picture's map with names."""
    image = np.asarray(Image.fromarray(picture).resize((side, side), Image.BICUBIC))
    dense = towers.backbone.dense_map(towers.normalised([image]))[0]
    words = F.normalize(towers.words(names), dim=1)
    return torch.einsum('kd,dhw->khw', words, dense).numpy()


def first_pictures(truth: Things, count: int = 3, each: int = 2
                   ) -> tuple[list[np.ndarray], list[list[str]]]:
    """The first pictures with enough differently named things, whatever towers say of them.

    Args:
        truth: Pictures and boxes.
        count: How many pictures.
        each: How many names of each; those of the largest things.

    Returns:
        Pictures, and the names of each; fewer where there are fewer.
    """
    pictures, names = [], []
    for picture, boxes, labels in zip(truth.pictures, truth.boxes, truth.labels):
        order = np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], 1), kind='stable')
        own = list(dict.fromkeys(truth.names[i] for i in labels[order]))[:each]
        if len(own) == each and len(pictures) < count:
            pictures.append(picture)
            names.append(own)
    return pictures, names
