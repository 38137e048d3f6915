"""Detections on their picture: boxes, and labels that can all be read."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    import supervision

#: With more labels than these the rest is not moved far: nobody could follow them.
CROWD = 60
#: Brightness (0 to 255) of a label from which on black is read more easily on it than white.
LIGHT = 150


def draw(scene: Image.Image, found: supervision.Detections) -> Image.Image:
    """The picture with boxes, names and scores, the best on top.

    Args:
        scene: RGB picture; it may be drawn on.
        found: What was found in it, at least one thing, with names as ``data['class_name']``, and
            the tracks of a video.
    """
    import supervision
    found = found[np.argsort(found.confidence, kind='stable')]
    size = scene.size
    # Two pixels and ten points are for thumbnails; both grow with the picture.
    thickness = supervision.calculate_optimal_line_thickness(size)
    font = max(10, round(24 * supervision.calculate_optimal_text_scale(size)))
    scene = supervision.BoxAnnotator(thickness=thickness).annotate(scene, found)
    colours = supervision.ColorPalette.DEFAULT
    ink = supervision.ColorPalette.from_hex([_ink(one) for one in colours.colors])
    # The rich annotator writes names in any alphabet its font has, OpenCV's only in ASCII.
    writer = supervision.RichLabelAnnotator(color=colours, text_color=ink, font_size=font,
                                            text_padding=max(2, font // 4))
    measure = ImageDraw.Draw(scene)
    labels = [shortened(name, f' {score:.2f}', size[0] - 2 * writer.text_padding - 1,
                        lambda text: measure.textlength(text, font=writer.font))
              for name, score in zip(_titles(found), found.confidence)]
    written = np.array([measure.textbbox((0, 0), label, font=writer.font) for label in labels])
    sides = (written[:, 2:] - written[:, :2]).astype(int) + 2 * writer.text_padding
    # The annotator fills the last row and column too.
    corners = place_labels(found.xyxy[::-1], sides[::-1] + 1, size)[::-1]
    # It writes a label on the upper left corner of its box; that corner is moved.
    found.xyxy[:, 0], found.xyxy[:, 1] = corners[:, 0], corners[:, 1] + sides[:, 1]
    return writer.annotate(scene, found, labels)


def _titles(found: supervision.Detections) -> list[str]:
    """Names, behind the numbers of what has one: '#3 red circle'."""
    names = found.data['class_name'].tolist()
    if found.tracker_id is None:
        return names
    return [f'#{track} {name}' if track >= 0 else name
            for track, name in zip(found.tracker_id, names)]


def _ink(colour: object) -> str:
    """Black or white, whatever is read more easily on a colour."""
    red, green, blue = colour.as_rgb()
    return '#000000' if .299 * red + .587 * green + .114 * blue > LIGHT else '#ffffff'


def place_labels(boxes: np.ndarray, sides: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where the labels of some boxes stand: in the picture, and where there is room, apart.

    Each in its turn, the first with the freest choice, takes the first free place of these: above
    its box, at the top inside, below, at the bottom inside, on the left and on the right each; then
    the nearest one to the first anywhere. Where none is free, it covers as little as it can.

    Args:
        boxes: (N, 4) xyxy in pixels of the picture, best first.
        sides: (N, 2) width and height of the labels in whole pixels.
        size: (width, height) of the picture.

    Returns:
        (N, 2) whole pixels: left and top edge of each label. One that is larger than the picture
        begins at its edge.
    """
    corners = np.zeros((len(boxes), 2), int)
    room = np.asarray(size, int)
    for i, (box, side) in enumerate(zip(np.rint(boxes).astype(int), sides)):
        taken = np.hstack([corners[:i], corners[:i] + sides[:i]])  # (i, 4) xyxy
        most = (room - side).clip(0)
        near = _beside(box, side).clip(0, most)
        covered = _covered(near, side, taken)
        if covered.min() and i <= CROWD:
            far = _anywhere(near, side, taken, most)
            free = far[_covered(far, side, taken) == 0]
            away = np.abs(free - near[0]).sum(1)
            corners[i] = free[away.argmin()] if len(free) else near[covered.argmin()]
        else:
            corners[i] = near[covered.argmin()]
    return corners


def _beside(box: np.ndarray, side: np.ndarray) -> np.ndarray:
    """(8, 2) corners of a label at the four heights and two ends of its box."""
    (left, top, right, bottom), (width, height) = box, side
    return np.array([(x, y) for y in (top - height, top, bottom, bottom - height)
                     for x in (left, right - width)])


def _anywhere(near: np.ndarray, side: np.ndarray, taken: np.ndarray,
              most: np.ndarray) -> np.ndarray:
    """(M, 2) corners in the picture with a free one among them wherever there is one.

    A free label can be pushed to the left and up until it touches others or the edge.
    """
    across, down = (np.unique(np.concatenate([
        near[:, axis], taken[:, axis] - side[axis], taken[:, axis + 2], [0, most[axis]]]))
        for axis in (0, 1))
    grid = np.stack(np.meshgrid(across, down), -1).reshape(-1, 2)
    return grid[((grid >= 0) & (grid <= most)).all(1)]


def _covered(corners: np.ndarray, side: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """(M,) pixels of the taken places (N, 4) that a label at each of the corners would cover."""
    ends = np.minimum((corners + side)[:, None], taken[None, :, 2:])
    common = (ends - np.maximum(corners[:, None], taken[None, :, :2])).clip(0)
    return common.prod(-1).sum(1)


def shortened(name: str, score: str, room: float, length: Callable[[str], float]) -> str:
    """Name and score of a label, the name cut where both are longer than the picture is wide."""
    kept = len(name)
    while kept > 1 and length(_cut(name, kept) + score) > room:
        kept -= 1
    return _cut(name, kept) + score


def _cut(name: str, kept: int) -> str:
    return name if kept == len(name) else f'{name[:kept]}…'
