"""Captions that stay true when their image is mirrored."""
from __future__ import annotations

import re
from bisect import bisect_right

from mmcv.transforms import BaseTransform

from glipkit.registry import TRANSFORMS
from glipkit.text.query import Query

_SIDES = re.compile(r'(?<![^\W_])(left|right)(?=(?:most|wards?)?(?![^\W_]))', re.IGNORECASE)
_OTHER = {'left': 'right', 'right': 'left'}


def swap_words(caption: str, phrases: list) -> tuple[str, list]:
    """Exchanges the words left and right (and leftmost, rightward...) and moves the spans along.

    Upper and lower case are kept. A span that begins or ends inside an exchanged word is widened
    to the whole of it. Other meanings of the words ('right now') are exchanged too.

    Args:
        caption: Any text.
        phrases: List of half-open character spans of each phrase.

    Returns:
        The new caption and the new phrases.

    >>> swap_words('left dog', [[(5, 8)]])
    ('right dog', [[(6, 9)]])
    """
    old_bounds, new_bounds = [0], [0]  # at the beginnings and ends of exchanged words, in order
    parts: list[str] = []
    for match in _SIDES.finditer(caption):
        word = _like(match.group(), _OTHER[match.group().lower()])
        gap = caption[old_bounds[-1]:match.start()]
        parts += [gap, word]
        begin = new_bounds[-1] + len(gap)
        old_bounds += match.span()
        new_bounds += [begin, begin + len(word)]
    parts.append(caption[old_bounds[-1]:])

    def moved(position: int, is_end: bool) -> int:
        i = bisect_right(old_bounds, position) - 1
        inside_word = i % 2 == 1 and position > old_bounds[i]
        if inside_word:
            return new_bounds[i + is_end]
        return new_bounds[i] + position - old_bounds[i]

    return ''.join(parts), [[(moved(b, False), moved(e, True)) for b, e in phrase]
                            for phrase in phrases]


@TRANSFORMS.register_module()
class SwapLeftRight(BaseTransform):
    """Exchanges left and right in the caption of a mirrored image.

    The official code mirrors images and leaves captions as they are; without this transform a
    pipeline does the same. It goes after the flip. Class names are not touched. Changes ``text``
    and ``phrases``, and ``ungrounded`` where there is one.
    """

    def transform(self, results: dict) -> dict:
        """Acts on captions of images with ``flip`` and a horizontal ``flip_direction``."""
        mirrored = results.get('flip') and results['flip_direction'] in ('horizontal', 'diagonal')
        query = Query.of_sample(results)
        if mirrored and query.is_caption:
            caption, (*phrases, unknown) = swap_words(
                query.caption, [*(query.phrases or ()), query.unknown])
            swapped = Query.for_caption(
                caption, None if query.phrases is None else phrases, unknown)
            results.update(swapped.as_fields())
        return results


def _like(model: str, word: str) -> str:
    """``word`` in the case of ``model``: LEFT, Left or left."""
    if model.isupper():
        return word.upper()
    return word.capitalize() if model[0].isupper() else word
