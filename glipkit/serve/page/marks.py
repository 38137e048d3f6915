"""Boxes that a person draws on the pictures of a tab, by two clicks or four numbers each."""
from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw

from glipkit.errors import UserError
from glipkit.files import write_encoded
from glipkit.serve.limits import Limits
from glipkit.serve.page.files import gone
from glipkit.serve.page.session import Picture, Session
from glipkit.serve.references import Box, Reference, check_box, make_reference
from glipkit.serve.uploads import open_image

#: What a box shows.
MEANT, NOT_MEANT = 'This is it', 'This is NOT it'
#: Colours of the two.
_COLOURS = {True: '#12b76a', False: '#d92d20'}
#: Sides of the smallest box, in pixels of what the browser shows: two clicks on one place are none.
SMALLEST = 4
#: Drawings of a tab that are kept: a browser may still be fetching an earlier one.
_DRAWINGS = 4


@dataclass(frozen=True)
class Mark:
    """One box.

    Args:
        picture: Name of the picture in its tab.
        name: What the thing is called; empty where the person has not said it yet.
        box: xyxy in pixels of the upright picture.
        meant: Whether it is the thing, or something that looks like it.
    """

    picture: str
    name: str
    box: Box
    meant: bool = True


@dataclass(frozen=True, eq=False)
class Marks:
    """What was drawn in a tab; it never changes.

    Args:
        drawn: The boxes, in the order in which they were drawn.
        corner: Picture, and x and y in pixels of the upright picture, of a first click.
    """

    drawn: tuple[Mark, ...] = ()
    corner: tuple[str, float, float] | None = None

    def names(self) -> list[str]:
        """The things, in the order of their first boxes."""
        return list(dict.fromkeys(mark.name for mark in self.drawn))

    def of(self, picture: str) -> list[Mark]:
        """The boxes on a picture."""
        return [mark for mark in self.drawn if mark.picture == picture]


def clicked(marks: Marks, picture: Picture, place: tuple[float, float], name: str,
            meant: bool) -> Marks:
    """The marks after a click: the first one is a corner, the second one makes a box of it.

    Args:
        marks: So far.
        picture: The picture.
        place: x and y in pixels of what the browser shows.
        name: What the thing is called.
        meant: Whether it is the thing.

    Raises:
        UserError: Both clicks are on one place.
    """
    across, down = scale_of(picture)
    x, y = place[0] * across, place[1] * down
    if marks.corner is None or marks.corner[0] != picture.name:
        return replace(marks, corner=(picture.name, x, y))
    _, first_x, first_y = marks.corner
    # A click is on a pixel: the last one is inside, too.
    box = (min(x, first_x), min(y, first_y), max(x, first_x) + across, max(y, first_y) + down)
    if box[2] - box[0] < SMALLEST * across or box[3] - box[1] < SMALLEST * down:
        raise UserError('clicks on two opposite corners', 'two on one place',
                        'click on the opposite corner of the thing')
    return _with_box(marks, picture, box, name, meant)


def typed(marks: Marks, picture: Picture, text: str, name: str, meant: bool) -> Marks:
    """The marks with a box of four numbers: left, top, right, bottom in pixels of the picture.

    Raises:
        UserError: Other than four numbers, or no box inside the picture.
    """
    numbers = re.findall(r'-?\d+(?:\.\d+)?', text or '')
    if len(numbers) != 4:
        raise UserError('four numbers: left, top, right, bottom', text or 'none',
                        'write e.g. 10, 20, 110, 90')
    return _with_box(marks, picture, tuple(map(float, numbers)), name, meant)


def _with_box(marks: Marks, picture: Picture, box: Sequence[float], name: str,
              meant: bool) -> Marks:
    box = check_box(tuple(box), picture.size, picture.name)
    mark = Mark(picture.name, (name or '').strip(), box, meant)
    return replace(marks, drawn=(*marks.drawn, mark), corner=None)


def undone(marks: Marks) -> Marks:
    """The marks without the last click, or else without the last box."""
    if marks.corner is not None:
        return replace(marks, corner=None)
    return replace(marks, drawn=marks.drawn[:-1])


def named(marks: Marks, name: str) -> Marks:
    """The marks with the name that stands in the form when learning begins.

    Boxes without a name get it. If it has no boxes, it is a new name of what was drawn last.

    Raises:
        UserError: A thing without a name, or nothing that shows it.
    """
    name = (name or '').strip()
    drawn = [replace(mark, name=mark.name or name) for mark in marks.drawn]
    if name and drawn and name not in {mark.name for mark in drawn}:
        last = drawn[-1].name
        drawn = [replace(mark, name=name) if mark.name == last else mark for mark in drawn]
    if not any(mark.meant for mark in drawn):
        raise UserError('a box around the thing', 'none', 'click on two opposite corners of it')
    if not all(mark.name for mark in drawn):
        raise UserError('a name of the thing', 'none', 'type what it shall be called')
    return replace(marks, drawn=tuple(drawn))


def references(session: Session, marks: Marks, limits: Limits, side: int) -> list[Reference]:
    """What a lesson is given: each thing with the pictures on which it has boxes.

    Args:
        session: The tab's pictures.
        marks: From `named`.
        limits: Of a picture.
        side: Longer side to which pictures are made smaller.

    Raises:
        UserError: The pictures are gone.
    """
    found = []
    for name in marks.names():
        ours = [mark for mark in marks.drawn if mark.name == name]
        pictures = [one for one in session.pictures
                    if any(mark.picture == one.name for mark in ours)]
        boxes, negatives = ([[mark.box for mark in ours
                              if mark.picture == one.name and mark.meant == meant]
                             for one in pictures] for meant in (True, False))
        found.append(make_reference(name, [partial(_open, one, limits) for one in pictures], boxes,
                                    negatives, side))
    return found


def _open(picture: Picture, limits: Limits) -> Image.Image:
    try:
        return open_image(picture.file.read_bytes(), limits, picture.name)
    except FileNotFoundError as error:
        raise gone() from error


def scale_of(picture: Picture) -> tuple[float, float]:
    """Pixels of the upright picture for one of what the browser shows, across and down."""
    with Image.open(picture.small) as small:
        return picture.size[0] / small.width, picture.size[1] / small.height


def drawing(session: Session, picture: Picture, marks: Marks) -> Path:
    """A new file of what the browser shows: the picture with its boxes and a first click.

    Raises:
        UserError: The files of the tab are gone.
    """
    try:
        scene = Image.open(picture.small).convert('RGB')
        across, down = scale_of(picture)
    except FileNotFoundError as error:
        raise gone() from error
    pen, thick = ImageDraw.Draw(scene), max(2, round(max(scene.size) / 300))
    for mark in marks.of(picture.name):
        left, top, right, bottom = (value / scale for value, scale in
                                    zip(mark.box, (across, down) * 2))
        colour = _COLOURS[mark.meant]
        pen.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour,
                      width=thick)
        text = mark.name or '?' if mark.meant else f'not {mark.name}'.strip()
        area = pen.textbbox((left + thick + 1, top + thick + 1), text, font_size=8 + 3 * thick)
        pen.rectangle(area, fill=colour)
        pen.text((left + thick + 1, top + thick + 1), text, fill='white', font_size=8 + 3 * thick)
    if marks.corner is not None and marks.corner[0] == picture.name:
        x, y = marks.corner[1] / across, marks.corner[2] / down
        for shift in ((6 * thick, 0), (0, 6 * thick)):
            pen.line((x - shift[0], y - shift[1], x + shift[0], y + shift[1]), fill=_COLOURS[True],
                     width=thick)
    for old in sorted(session.folder.glob('marks-*'))[:1 - _DRAWINGS]:
        old.unlink(missing_ok=True)
    file = session.folder / f'marks-{time.time_ns()}.jpg'
    write_encoded(file, lambda stream: scene.save(stream, 'JPEG', quality=90))
    return file
