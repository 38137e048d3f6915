"""Where a phrase stands in its caption."""
from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from glipkit.errors import UserError


def find_phrase(caption: str, phrase: str) -> list[tuple[int, int]]:
    """All word-bounded occurrences of a phrase, as half-open character spans.

    Case does not count, nor the kind and number of blanks between words. 'man' is not found in
    'woman'.

    >>> find_phrase('A man and a woman', 'man')
    [(2, 5)]
    """
    pieces = phrase.split()
    if not pieces:
        return []
    pattern = r'(?<!\w)' + r'\s+'.join(map(re.escape, pieces)) + r'(?!\w)'
    return [match.span() for match in re.finditer(pattern, caption, re.IGNORECASE)]


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
