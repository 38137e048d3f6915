"""Words of a caption with their classes, as the noun phrase chunker reads them.

Small lists hold the closed word classes and the verbs that captions use; endings decide for some
others, and any other word is a noun. A few words then change class by their neighbours.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from glipkit.text.phrases import word_lists as lists

# Letters, digits and accents, with apostrophes and hyphens inside: "t-shirt", "man's".
_WORD = re.compile(r"[\w\u0300-\u036f]+(?:['\u2019\-][\w\u0300-\u036f]+)*|&")
BLANK, COMMA, BREAK = 'blank', 'comma', 'break'
# Classes of words that a place before them does not describe: 'the man on the left holds'.
_NO_NOUN = {'preposition', 'and', 'copula', 'modal', 'pronoun', 'determiner', 'number', 'other',
            'adverb', 'ing', 's verb', 'past verb'}


@dataclass(frozen=True)
class Word:
    """One word of a caption.

    Attributes:
        text: The word in lower case.
        start: Its first character in the caption.
        end: The character after its last.
        gap: What separates it from the word before: BLANK, COMMA or BREAK (other punctuation, or
            the beginning of the caption).
        kind: Its class.
    """
    text: str
    start: int
    end: int
    gap: str
    kind: str

    @property
    def is_plural(self) -> bool:
        if self.text in lists.IRREGULAR_PLURALS or self.text.endswith('men'):
            return True
        return (self.text.endswith('s') and self.text not in lists.SINGULAR_S
                and not self.text.endswith(('ss', 'us', "'s")))

    @property
    def is_possessive(self) -> bool:
        return self.text.endswith("'s")


def read_words(caption: str) -> list[Word]:
    """Words with their kinds; relations ('on the left of') become one relation."""
    words: list[Word] = []
    for match in _WORD.finditer(caption):
        between = caption[words[-1].end if words else 0:match.start()]
        if between == '. ' and words and words[-1].text in lists.ABBREVIATIONS:
            between = ' '
        gap = BLANK if between.isspace() else COMMA if between.strip() == ',' else BREAK
        text = match.group().lower().replace('\u2019', "'")
        words.append(Word(text, match.start(), match.end(), gap, _kind_of(text)))
    return _mark_counts(_mark_relations(_mark_misfits(words)))


@lru_cache(maxsize=4096)
def _kind_of(word: str) -> str:
    """Class of a word without context; what no list or ending knows is a noun."""
    for kind, members in (
            ('determiner', lists.DETERMINERS), ('number', lists.NUMBERS),
            ('preposition', lists.PREPOSITIONS), ('preposition', {'to'}),
            ('copula', lists.COPULAS), ('modal', lists.MODALS), ('pronoun', lists.PRONOUNS),
            ('and', lists.CONJUNCTIONS), ('other', lists.FUNCTION_WORDS),
            ('adverb', lists.ADVERBS), ('either', lists.EITHER), ('place', lists.PLACES),
            ('adjective', lists.ADJECTIVES | lists.LY_ADJECTIVES),
            ('noun', lists.ING_NOUNS | lists.ED_NOUNS | lists.LY_NOUNS | lists.NOT_ADJECTIVES),
            ('past verb', lists.PAST_VERBS), ('s verb', lists.THIRD_PERSON),
            ('base verb', lists.BASE_VERBS)):
        if word in members:
            return kind
    stem, apostrophe, _ = word.partition("'")
    if stem in lists.PRONOUNS and stem.endswith(('one', 'body')):  # "someone's hat"
        return 'determiner'
    if apostrophe and stem in lists.PRONOUNS | lists.DETERMINERS:  # "it's", "that's"
        return 'copula'
    return _kind_by_ending(word)


def _kind_by_ending(word: str) -> str:
    if word.isdigit() or all(part in lists.NUMBERS for part in word.split('-')):
        return 'number'
    if len(word) > 4 and word.endswith('ly'):
        return 'adverb'
    if len(word) > 4 and word.endswith('ing'):
        return 'ing'
    if len(word) > 3 and word.endswith('ed'):
        return 'ed'
    if len(word) > 5 and word.endswith(lists.ADJECTIVE_ENDINGS):
        return 'adjective'
    return 'noun'


def _mark_misfits(words: list[Word]) -> list[Word]:
    """Changes the class of words that stand where it cannot: 'a can', 'the inside'."""
    marked = list(words)
    for j in range(1, len(words)):
        before, word = words[j - 1:j + 1]
        if word.gap != BLANK or word.kind not in ('preposition', 'modal'):
            continue
        described = before.text in lists.ARTICLES or before.kind == 'adjective'
        if before.text in lists.ARTICLES or word.text == 'can' and (
                described or before.text in lists.CANNED):
            following = words[j + 1] if j + 1 < len(words) else None
            describes = following and following.gap == BLANK and following.kind not in _NO_NOUN
            marked[j] = replace(word, kind='adjective' if describes else 'either')
    return marked


def _mark_relations(words: list[Word]) -> list[Word]:
    """Marks places that belong to a relation: '(on the far) side of', '(in) front of'.

    A place counts as a thing only if a noun follows ('on the top shelf') or if no preposition
    leads to it ('the back').
    """
    marked = list(words)

    def follows(j: int, texts: frozenset[str]) -> bool:
        return j >= 0 and words[j].text in texts and words[j + 1].gap == BLANK

    for j, word in enumerate(words):
        following = words[j + 1] if j + 1 < len(words) and words[j + 1].gap == BLANK else None
        if word.text not in lists.PLACES or (following and following.kind not in _NO_NOUN):
            continue
        k = j - 1
        while follows(k, lists.PLACE_QUALIFIERS):
            k -= 1
        determined = follows(k, lists.DETERMINERS)
        k -= determined
        led = k >= 0 and words[k].kind == 'preposition' and words[k + 1].gap == BLANK
        if led or (following and following.text == 'of' and not determined):
            for inside in range(k + 1, j + 1):
                marked[inside] = replace(words[inside], kind='relation')
    return marked


def _mark_counts(words: list[Word]) -> list[Word]:
    """Turns 'couple of' and its like into determiners, so that 'a couple of dogs' is one phrase."""
    marked = list(words)
    for j, (first, second) in enumerate(zip(words, words[1:])):
        if first.text in lists.QUANTITIES and second.text == 'of' and second.gap == BLANK:
            marked[j] = replace(first, kind='determiner')
            marked[j + 1] = replace(second, kind='determiner')
    return marked
