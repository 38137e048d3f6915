"""A thing as somebody shows it: pictures, and boxes around it."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from glipkit.apis.detections import open_picture
from glipkit.errors import UserError

Box = tuple[float, float, float, float]
#: Pixels by which a box may stand out of its picture; it is cut then.
SLACK = 1.


@dataclass(frozen=True, eq=False)
class Reference:
    """One thing as somebody shows it.

    Args:
        name: What it is called.
        pictures: Upright RGB pictures.
        boxes: For each picture the boxes of the thing, xyxy in its pixels.
        negatives: For each picture the boxes of what looks like it and is not meant.
    """

    name: str
    pictures: tuple[Image.Image, ...]
    boxes: tuple[tuple[Box, ...], ...]
    negatives: tuple[tuple[Box, ...], ...]


def make_reference(name: str, pictures: Sequence[Callable[[], Image.Image]],
                   boxes: Sequence[Sequence[Box]], negatives: Sequence[Sequence[Box]] | None,
                   side: int) -> Reference:
    """A reference whose pictures are small enough to wait in memory.

    Args:
        name: What the thing is called.
        pictures: Each opens one picture; they are decoded one after the other.
        boxes: For each picture the boxes of the thing, xyxy in pixels of the upright picture.
        negatives: The same for what is not meant; None for none.
        side: Longer side to which pictures are made smaller, and boxes with them.

    Raises:
        UserError: No name, a picture that cannot be read, as many lists of boxes as there are no
            pictures, or a box that is none or lies outside.
    """
    if not name.strip():
        raise UserError('a name of the thing', 'an empty one', 'name it')
    negatives = [()] * len(pictures) if negatives is None else negatives
    for word, lists in (('boxes', boxes), ('negatives', negatives)):
        if len(lists) != len(pictures):
            raise UserError(f'{word} as one list for each of {len(pictures)} pictures',
                            str(len(lists)), 'pass an empty list for a picture without any')
    small, shown, meant_not = [], [], []
    for number, (open_one, ours, others) in enumerate(zip(pictures, boxes, negatives), 1):
        with open_one() as opened:
            scene = open_picture(opened)
        size = scene.size
        scene.thumbnail((side, side))
        scale = scene.width / size[0], scene.height / size[1]
        small.append(scene)
        for boxes_of, target in ((ours, shown), (others, meant_not)):
            target.append(tuple(_scaled(check_box(box, size, f'picture {number}'), scale)
                                for box in boxes_of))
    return Reference(name.strip(), tuple(small), tuple(shown), tuple(meant_not))


def check_box(box: Sequence[float], size: tuple[int, int], where: str) -> Box:
    """A box inside its picture; one that stands out by `SLACK` is cut.

    Args:
        box: xyxy in pixels, right and bottom edge exclusive.
        size: (width, height) of the picture.
        where: What messages call the picture.

    Raises:
        UserError: No numbers, no area, or outside.
    """
    width, height = size
    left, top, right, bottom = box
    near = (-SLACK <= left and -SLACK <= top and right <= width + SLACK
            and bottom <= height + SLACK)
    # None of the numbers is nan then, and what is left of the box has to have an area.
    cut = max(0., left), max(0., top), min(float(width), right), min(float(height), bottom)
    if not near or not (cut[0] < cut[2] and cut[1] < cut[3]):
        numbers = ', '.join(f'{value:g}' for value in box)
        raise UserError(f'a box as left < right, top < bottom inside the {width} x {height} pixels '
                        f'of {where}', numbers, 'correct it')
    return cut


def _scaled(box: Box, scale: tuple[float, float]) -> Box:
    across, down = scale
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down
