"""Where a phrase stands in its caption."""
from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from glipkit.errors import UserError
from glipkit.text.borders import stands_alone


def find_phrase(caption: str, phrase: str) -> list[tuple[int, int]]:
    """All word-bounded occurrences of a phrase, as half-open character spans.

    Case does not count, nor the kind and number of blanks between words. 'man' is not found in
    'woman'; in scripts without blanks between words it may stand anywhere.

    >>> find_phrase('A man and a woman', 'man'), find_phrase('一只猫在桌子上', '桌子')
    ([(2, 5)], [(4, 6)])
    """
    pieces = phrase.split()
    if not pieces:
        return []
    pattern = re.compile(r'\s+'.join(map(re.escape, pieces)), re.IGNORECASE)
    found, start = [], 0
    while match := pattern.search(caption, start):
        start = match.start() + 1
        if stands_alone(caption, *match.span()):
            found.append(match.span())
            start = match.end()
    return found


def checked_spans(caption: str, value: Any, where: str) -> list[tuple[int, int]]:
    """Spans as an annotation file gives them: [[start, end], ...].

    Args:
        caption: The text that the spans count in.
        value: Value in the file.
        where: File and line, for the error.

    Returns:
        The spans in ascending order, each once, without those that cover no letter and no digit:
        no token stands for them.

    Raises:
        UserError: Another structure, or a span that is empty, reversed or outside the caption.
    """
    expected = f'tokens_positive as [[start, end], ...] within {len(caption)} characters'
    fix = 'correct the spans; end is the first character after the phrase'
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise UserError(expected, f'{where}: {value!r}', fix)
    spans = set()
    for span in value:
        if not (isinstance(span, (list, tuple)) and len(span) == 2
                and all(type(position) is int for position in span)
                and 0 <= span[0] < span[1] <= len(caption)):
            raise UserError(expected, f'{where}: {span!r}', fix)
        if any(character.isalnum() for character in caption[span[0]:span[1]]):
            spans.add(tuple(span))
    return sorted(spans)
