"""Captions made for grounding: short sentences joined to long ones, spans that cut no word."""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from glipkit.common.boxes import box_iou
from glipkit.data.preparation.boxes import Box
from glipkit.text.structures import Span

_WORD = re.compile(r'\w+')


@dataclass(frozen=True)
class Sentence:
    """A text and the objects that it names.

    Args:
        text: One sentence, or several.
        regions: Character spans in the text and box of each object.
    """
    text: str
    regions: tuple[tuple[tuple[Span, ...], Box], ...]


def merge_sentences(sentences: Sequence[Sentence], max_length: int = 250,
                    iou: float = 0.5) -> list[Sentence]:
    """Joins the sentences of one picture to as few captions as is greedily possible.

    As MDETR made its training set (ashkamath/mdetr: scripts/pre-training): two sentences with
    boxes that overlap would name one object twice, so they never share a caption. This is graph
    colouring; sentences with most conflicts choose first and take the first caption that has
    room. Every sentence is closed with a full stop unless it ends in '.' or '?'.

    Args:
        sentences: Those of one picture; a repeated one is taken once.
        max_length: Characters of a caption. A longer sentence stands alone.
        iou: Overlap above which two boxes are in conflict.

    Returns:
        The captions. Within each a box occurs once, with the spans of all that name it.
    """
    sentences = list(dict.fromkeys(sentences))
    conflicts = _conflicts(sentences, iou)
    captions: list[list[int]] = []
    for i in sorted(range(len(sentences)), key=lambda i: -len(conflicts[i])):
        for members in captions:
            length = sum(len(sentences[j].text) for j in members)
            if (length + len(sentences[i].text) + 2 <= max_length
                    and conflicts[i].isdisjoint(members)):
                members.append(i)
                break
        else:
            captions.append([i])
    return [_joined([sentences[i] for i in members]) for members in captions]


def whole_words(caption: str, start: int, end: int) -> Span | None:
    """A span without blanks and punctuation at its ends, each moved to a border of a word.

    An end that cuts a word takes in the whole of it where half or more was covered, and leaves it
    out where less was.

    Returns:
        The span; None where no word is left, or the span was not one of this caption.

    >>> whole_words('two dogs run', 4, 7)
    (4, 8)
    """
    if not 0 <= start < end <= len(caption):
        return None
    kept = [match.span() for match in _WORD.finditer(caption)
            if 2 * (min(end, match.end()) - max(start, match.start())) >= len(match[0])]
    return (kept[0][0], kept[-1][1]) if kept else None


def _conflicts(sentences: Sequence[Sentence], iou: float) -> list[set[int]]:
    conflicts: list[set[int]] = [set() for _ in sentences]
    for i, one in enumerate(sentences):
        for j, other in enumerate(sentences[:i]):
            if any(box_iou(a, b)[0, 0] > iou for _, a in one.regions for _, b in other.regions):
                conflicts[i].add(j)
                conflicts[j].add(i)
    return conflicts


def _joined(sentences: Sequence[Sentence]) -> Sentence:
    text, spans_of = '', {}
    for sentence in sentences:
        text += ' ' if text else ''
        for spans, box in sentence.regions:
            moved = [(start + len(text), end + len(text)) for start, end in spans]
            spans_of.setdefault(box, set()).update(moved)
        text += sentence.text + ('' if sentence.text.endswith(('.', '?')) else '.')
    return Sentence(text, tuple((tuple(sorted(spans)), box) for box, spans in spans_of.items()))
