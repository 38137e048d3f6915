"""Reading annotation files and saying clearly what is wrong with them."""
from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glipkit.data.formats.read_once import once
from glipkit.errors import UserError

#: Boxes with a side of at most this many pixels (w = x2 - x1) carry no object, as in the official
#: code: clipped to the image, its inclusive boxes must satisfy x2 > x1 and y2 > y1.
MIN_SIDE = 1.0

_LARGEST_SIDE = 1 << 31


def open_text(path: str | Path, what: str):
    """Opens a UTF-8 text file; ``what`` names its kind in the error ('a COCO json')."""
    try:
        # Windows editors put a byte order mark first; it is no part of the text.
        return open(path, encoding='utf-8-sig')
    except OSError as error:
        raise UserError(what, f'{path}: {error.strerror or error}',
                        'check the path (data_root, ann_file)') from error


def read_json(path: str | Path, what: str) -> Any:
    """Parses a JSON file; once inside `files_read_once`.

    Raises:
        UserError: It cannot be read, or is not JSON; names the file and the line.
    """
    return once(path, 'json', lambda: _parse(path, what))


def _parse(path: str | Path, what: str) -> Any:
    with open_text(path, what) as file:
        try:
            return json.load(file)
        except json.JSONDecodeError as error:
            raise UserError(what, f'{path}:{error.lineno}: {error.msg}',
                            'repair the file or copy it again') from error
        except (ValueError, RecursionError) as error:  # encoding, nesting, endless numbers
            raise UserError(what, f'{path}: {error}', 'repair the file or copy it again') from error


def as_size(value: Any, where: str, name: str) -> int | None:
    """An image side in pixels; None where the file does not tell. Digits in a string will do."""
    if value is None:
        return None
    try:
        # Flickr30k's xml, and every json made from it, holds sizes as strings.
        side = int(value)
    except (TypeError, ValueError, OverflowError):
        side = 0
    if not 0 < side <= _LARGEST_SIDE or isinstance(value, bool):
        raise UserError(f'{name} of an image as a positive whole number', f'{where}: {value!r}',
                        f'correct {name}')
    return side


def as_crowd(value: Any, where: str, name: str = 'iscrowd') -> bool:
    """Whether a mark of an annotation says yes: a finite number, or one as text; None says no.

    Tables write NaN where a column is empty, which would be true to Python.

    Args:
        value: What the file holds.
        where: The place, for the error.
        name: Key of the mark.

    Raises:
        UserError: It is something else.
    """
    if isinstance(value, str) and value.strip() in ('0', '1'):
        return value.strip() == '1'  # the text '0' would be true to Python
    if value is not None and not (isinstance(value, (int, float)) and _is_finite(value)):
        raise UserError(f'{name} as 0 or 1', f'{where}: {_shorten(value)}', f'correct {name}')
    return bool(value)


def as_area(value: Any, where: str) -> float | None:
    """Area of an annotation in pixels; None where the file does not tell.

    Raises:
        UserError: It is no finite number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_finite(value):
        raise UserError('areas as finite numbers of pixels', f'{where}: area {_shorten(value)}',
                        'correct or remove it')
    return float(value)


def as_box(value: Any, where: str, layout: str) -> list[float]:
    """Four finite numbers; ``layout`` ('x1, y1, x2, y2') is for the error only."""
    if (isinstance(value, (list, tuple)) and len(value) == 4 and all(
            isinstance(v, (int, float)) and not isinstance(v, bool) and _is_finite(v)
            for v in value)):
        return [float(v) for v in value]
    raise UserError(f'a box as [{layout}], four finite numbers', f'{where}: {_shorten(value)}',
                    'correct or remove the box')


def clip_box(box: list[float], width: int | None, height: int | None) -> list[float] | None:
    """Clips an exclusive xyxy box to the image; None where nothing worth keeping is left.

    Args:
        box: x1, y1, x2, y2 in pixels.
        width: Width of the image; None where unknown, then nothing is clipped on the right.
        height: Its height, likewise.
    """
    x1, y1 = max(box[0], 0.), max(box[1], 0.)
    x2 = box[2] if width is None else min(box[2], float(width))
    y2 = box[3] if height is None else min(box[3], float(height))
    if x2 - x1 <= MIN_SIDE or y2 - y1 <= MIN_SIDE or not math.isfinite(x2 + y2):
        return None  # x + width of two finite numbers may be infinite
    return [x1, y1, x2, y2]


def summary(path: str | Path, counts: Mapping[str, int], dropped: Counter) -> str:
    """One log line: what a file holds, and what was dropped from it and why."""
    line = f'{path}: ' + ', '.join(f'{n} {thing}' for thing, n in counts.items())
    losses = ', '.join(f'{n} {thing}' for thing, n in sorted(dropped.items()) if n)
    return f'{line}; dropped: {losses}' if losses else line


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond any float
        return False


def _shorten(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[:limit - 3] + '...'
