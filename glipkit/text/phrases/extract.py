"""Noun phrases of English captions: the things that a sentence names and a box can hold.

Three back ends behind `extract_phrases`: the default, ``'rules'`` (:mod:`.rules`), and the two of
:mod:`.pipelines`.
"""
from __future__ import annotations

import re
from collections.abc import Iterable

from glipkit.errors import UserError
from glipkit.text.borders import cuts_word
from glipkit.text.phrases import word_lists as lists
from glipkit.text.phrases.pipelines import pipeline_extractor
from glipkit.text.phrases.rules import rule_spans
from glipkit.text.structures import Span

# A noun at the end of a phrase that means the picture itself, not a thing in it.
_PICTURE_WORD = re.compile(
    r'\b(photo|photograph|picture|image|illustration|drawing|painting|portrait|shot|close-?up|view|'
    r'sketch|rendering|render|vector|clipart|stock photo|snapshot|wallpaper)s?$', re.IGNORECASE)


def extract_phrases(caption: str, backend: str = 'rules',
                    picture_words: bool = True) -> list[Span]:
    """Character spans of the noun phrases of an English caption.

    Args:
        caption: Any text; without a noun it has no phrases.
        backend: ``'rules'`` (offline, the default), ``'pattern'`` (offline, a lexicon tagger; needs
            ``pip install 'glipkit[phrases]'``), ``'spacy'`` or ``'spacy:PIPELINE'`` (noun chunks of
            an installed pipeline).
        picture_words: Whether 'a photo' of 'a photo of a dog' is a phrase, too.

    Returns:
        Half-open spans in reading order. They do not overlap and never cut a word. Determiners
        and counts belong to the phrase: 'a man', 'two umbrellas'.

    Raises:
        UserError: The caption is not a string, or the back end is unknown or not installed.
    """
    if not isinstance(caption, str):
        raise UserError('a caption that is a string', f'{type(caption).__name__} {caption!r}',
                        'pass a string')
    if backend == 'rules':
        spans = rule_spans(caption)
    elif backend == 'pattern' or backend.partition(':')[0] == 'spacy':
        spans = clean_spans(caption, pipeline_extractor(backend)(caption))
    else:
        raise UserError("a phrase back end: 'rules', 'pattern', 'spacy' or 'spacy:PIPELINE'",
                        repr(backend), 'name one of them')
    if picture_words:
        return spans
    return [(begin, end) for begin, end in spans if not _PICTURE_WORD.search(caption[begin:end])]


def clean_spans(caption: str, spans: Iterable[Span]) -> list[Span]:
    """Spans as the model can use them: on word borders, with a letter or digit, without overlap.

    Blanks and punctuation at the edges are cut off; an edge inside a word moves to that word's
    border. Of two that overlap the longer one stays; of two of equal length, the first.

    >>> clean_spans('a "red ball", he', [(2, 12), (7, 11), (12, 13)])
    [(3, 11)]
    """
    grown = []
    for begin, end in spans:
        while begin < end and not caption[begin].isalnum():
            begin += 1
        while begin < end and not caption[end - 1].isalnum():
            end -= 1
        if begin == end or _is_pronoun(caption[begin:end]):
            continue
        while cuts_word(caption, begin):
            begin -= 1
        while cuts_word(caption, end):
            end += 1
        grown.append((begin, end))
    kept: list[Span] = []
    for span in sorted(grown, key=lambda s: (s[0] - s[1], s[0])):
        if all(span[1] <= begin or end <= span[0] for begin, end in kept):
            kept.append(span)
    return sorted(kept)


def _is_pronoun(phrase: str) -> bool:
    return phrase.lower() in lists.PRONOUNS
