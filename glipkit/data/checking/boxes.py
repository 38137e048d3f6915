"""Boxes one by one, and what all of them together give away about their layout."""
from __future__ import annotations

from typing import Any

from glipkit.data.checking.findings import Findings, shorten
from glipkit.data.formats.reading import as_box, clip_box
from glipkit.errors import UserError

Size = tuple[int | None, int | None]
"""Width and height of an image in pixels, as the file tells them."""

# A box may reach over the edge by rounding; by this share of a side it does not.
_SLACK = 0.05
# Boxes in the wrong layout: in half of them, about, the sum of corner and "width" leaves the image.
_SUSPICIOUS_SHARE = 0.2


class BoxChecker:
    """Checks boxes by the rules of the readers, and counts their forms.

    Args:
        findings: Collection that takes the findings.
        layout: Layout of the format's boxes, 'xywh' or 'xyxy'.
        written: Form of the boxes of this file, if that is known to differ: 'xywh',
            'xyxy' or 'fractions' (of the image, in the layout of the format).
    """

    def __init__(self, findings: Findings, layout: str, written: str | None = None) -> None:
        self.findings, self.layout, self.written = findings, layout, written or layout
        self.seen = self.kept = 0
        self._known_size = self._fractions = self._only_other = self._only_this = 0
        self._other_example = ''

    def judge(self, raw: Any, size: Size, where: str) -> list | None:
        """Checks one box.

        Args:
            raw: Value in the file.
            size: Size of the image.
            where: The place, for the report.

        Returns:
            The box in the layout of the format, cut at the edges of the image if need be; None
            where training cannot use it.
        """
        self.seen += 1
        try:
            values = as_box(raw, where, '')
        except UserError:
            self.findings.add('bad_box', where, raw)
            return None
        if self.written != self.layout:
            raw = values = _convert(values, self.written, self.layout, size)
        self._look(values, size, where)
        box = _to_xyxy(values, self.layout)
        clipped = clip_box(box, *size)
        if clipped is None:
            flat = box[2] - box[0] <= 1 or box[3] - box[1] <= 1
            self.findings.add('flat_box' if flat else 'box_outside', where,
                              f'{shorten(raw)} in {_text(size)}')
            return None
        self.kept += 1
        if all(abs(a - b) <= 1 for a, b in zip(box, clipped)):
            return raw
        self.findings.add('box_over_edge', where, f'{shorten(raw)} in {_text(size)}')
        x1, y1, x2, y2 = clipped
        return [x1, y1, x2 - x1, y2 - y1] if self.layout == 'xywh' else clipped

    def finish(self, where: str) -> None:
        """Reports what all boxes of the file ``where`` together say."""
        if not self.seen:
            self.findings.add('no_box', where)
            return
        if self._fractions == self.seen - self.findings.count('bad_box') > 0:
            self.findings.add('boxes_are_fractions', where, f'all {self._fractions} boxes')
        elif self._looks_like_the_other():
            kind = 'boxes_are_xyxy' if self.layout == 'xywh' else 'boxes_are_xywh'
            self.findings.add(kind, self._other_example,
                              f'as {self.layout}, {self._only_other} of {self._known_size} boxes '
                              'leave their image; in the other layout none does')
        if not self.kept:
            self.findings.add('all_boxes_lost', where, f'{self.seen} boxes')

    def confused(self) -> str | None:
        """How the boxes are written, if they are not as the format wants."""
        for kind, written in (('boxes_are_xyxy', 'xyxy'), ('boxes_are_xywh', 'xywh'),
                              ('boxes_are_fractions', 'fractions')):
            if kind in self.findings:
                return written
        return None

    def _looks_like_the_other(self) -> bool:
        # One odd box among several is a mistake; a file in another layout has more of them.
        enough = max(2, _SUSPICIOUS_SHARE * self._known_size)
        return not self._only_this and 0 < min(enough, self._known_size) <= self._only_other

    def _look(self, values: list[float], size: Size, where: str) -> None:
        """Notes which layouts could explain the box."""
        self._fractions += all(0 <= v <= 1 for v in values) and any(values)
        if None in size:
            return
        self._known_size += 1
        this, other = (_fits(values, layout, size)
                       for layout in ('xywh', 'xyxy')[::1 if self.layout == 'xywh' else -1])
        self._only_this += this and not other
        if other and not this:
            self._only_other += 1
            self._other_example = self._other_example or where


def _fits(values: list[float], layout: str, size: Size) -> bool:
    x1, y1, x2, y2 = _to_xyxy(values, layout)
    width, height = size
    return (x2 > x1 and y2 > y1 and x1 >= -_SLACK * width and y1 >= -_SLACK * height
            and x2 <= (1 + _SLACK) * width and y2 <= (1 + _SLACK) * height)


def _to_xyxy(values: list[float], layout: str) -> list[float]:
    a, b, c, d = values
    return [a, b, a + c, b + d] if layout == 'xywh' else [a, b, c, d]


def _convert(values: list[float], written: str, layout: str, size: Size) -> list[float]:
    if written == 'fractions':
        width, height = (side or 1 for side in size)
        return [v * side for v, side in zip(values, (width, height, width, height))]
    x1, y1, x2, y2 = _to_xyxy(values, written)
    return [x1, y1, x2 - x1, y2 - y1] if layout == 'xywh' else [x1, y1, x2, y2]


def _text(size: Size) -> str:
    return 'x'.join('?' if side is None else str(side) for side in size)
