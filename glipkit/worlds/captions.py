"""Captions with exact character spans, made from a known scene by a small grammar.

Rules that every caption keeps:

* A phrase is some of an object's words with the noun last ('red circle' of a 'large red striped
  circle'). It is tied to *all* objects of the scene that have these words, and only to these:
  one such object gives 'a red circle', several give 'two red circles' or 'red circles'.
* A span covers the phrase without its determiner or count, the form that class names have.
* The objects of different phrases are disjoint, so no object carries two phrases. A phrase that
  is named twice ('a star. the star is above ...') is one region with two spans.
* Only present things are spoken of.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from glipkit.worlds.english import COUNTS, article, is_proper, is_uncounted, plural
from glipkit.worlds.patches import Box, Cover

#: How a list of things may open, before one thing and before several.
OPENINGS = (('', ''), ('', ''), ('there is ', 'there are '), ('here is ', 'here are '),
            ('we see ', 'we see '), ('a picture of ', 'a picture of '))
#: Share of phrases that give all of an object's words.
FULL_NAME_SHARE = .25
#: Otherwise, chance that a word before the noun is spoken.
KEEP_WORD = .55
#: Share of objects that a caption speaks of, at least; the rest of the chance is uniform above.
SPOKEN_SHARE = .6


@dataclass(frozen=True)
class Thing:
    """One object of a scene.

    Args:
        terms: Words for it, noun last; joined by blanks they are its category name.
            A noun may itself be several words.
        box: xyxy pixels with exclusive right and bottom edge.
        cover: Its pixels, before others hide some; only until its picture is saved.
    """
    terms: tuple[str, ...]
    box: Box
    cover: Cover | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The category name."""
        return ' '.join(self.terms)


@dataclass(frozen=True)
class Region:
    """A phrase of a caption and all it refers to.

    Args:
        phrase: Its text, the same at each of its spans.
        boxes: One box per object.
        spans: Half-open character spans in the caption, one per time it is named.
    """
    phrase: str
    boxes: tuple[Box, ...]
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Mention:
    """A chosen phrase before it stands in a sentence: its terms and its objects' indices."""
    terms: tuple[str, ...]
    members: tuple[int, ...]

    @property
    def phrase(self) -> str:
        *before, noun = self.terms
        return ' '.join((*before, noun if len(self.members) == 1 else plural(noun)))


def describe(things: Sequence[Thing], rng: np.random.Generator) -> tuple[str, list[Region]]:
    """Write a caption for a scene.

    Args:
        things: All objects of the image, at least one.
        rng: Random generator.

    Returns:
        The caption and its regions in the order of their first span.
    """
    mentions = _choose_mentions(things, rng)
    text = _Text()
    _enumerate(text, mentions, rng)
    _relate(text, mentions, things, rng)
    regions = [Region(mention.phrase, tuple(things[index].box for index in mention.members),
                      tuple(spans)) for mention, spans in text.spans.items()]
    return text.written, sorted(regions, key=lambda region: region.spans)


class _Text:
    """A caption under construction; remembers where each mention was written."""

    def __init__(self) -> None:
        self.written = ''
        self.spans: dict[_Mention, list[tuple[int, int]]] = {}

    def add(self, text: str) -> None:
        self.written += text

    def mention(self, mention: _Mention, determiner: str) -> None:
        """Write determiner and phrase; the span covers the phrase alone."""
        self.add(determiner + ' ' if determiner else '')
        start = len(self.written)
        self.add(mention.phrase)
        self.spans.setdefault(mention, []).append((start, len(self.written)))


def _choose_mentions(things: Sequence[Thing], rng: np.random.Generator) -> list[_Mention]:
    """Phrases with disjoint objects for most of the scene, in random order."""
    wanted = max(1, round(len(things) * rng.uniform(SPOKEN_SHARE, 1.4)))
    mentions: list[_Mention] = []
    spoken: set[int] = set()
    for index in rng.permutation(len(things)).tolist():
        if index in spoken or len(spoken) >= wanted:
            continue
        for terms in _term_choices(things[index].terms, rng):
            members = matches(things, terms)
            if spoken.isdisjoint(members):
                mentions.append(_Mention(terms, members))
                spoken.update(members)
                break
    return mentions


def matches(things: Sequence[Thing], terms: Sequence[str]) -> tuple[int, ...]:
    """Indices of all things that have every one of ``terms``."""
    return tuple(index for index, thing in enumerate(things) if set(terms) <= set(thing.terms))


def _term_choices(terms: tuple[str, ...], rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Ways to name a thing, to be tried in turn; the last is its full name."""
    choices = []
    if rng.random() >= FULL_NAME_SHARE:
        for _ in range(3):
            kept = rng.random(len(terms) - 1) < KEEP_WORD
            choices.append((*(w for w, keep in zip(terms, kept) if keep), terms[-1]))
    return [*choices, terms]


def _enumerate(text: _Text, mentions: Sequence[_Mention], rng: np.random.Generator) -> None:
    """'a large star, two circles and a dotted cross', in one sentence or several."""
    opening = OPENINGS[rng.integers(len(OPENINGS))]
    if rng.random() < .25 and len(mentions) > 1:
        groups = [[mention] for mention in mentions]
    else:
        groups = [list(mentions)]
    for group in groups:
        text.add('. ' if text.written else '')
        text.add(opening[len(group[0].members) > 1])
        for position, mention in enumerate(group):
            if position:
                text.add(' and ' if position == len(group) - 1 else ', ')
            text.mention(mention, _determiner(mention, rng))


def _determiner(mention: _Mention, rng: np.random.Generator) -> str:
    """'a', 'an', 'some' or 'the' before one thing, a count or nothing before several."""
    noun = mention.terms[-1]
    if len(mention.members) > 1:
        counted = (len(mention.members) < len(COUNTS) and not is_uncounted(noun)
                   and not is_proper(noun) and rng.random() < .7)
        return COUNTS[len(mention.members)] if counted else ''
    if is_proper(noun) or rng.random() < .3:
        return 'the'
    return 'some' if is_uncounted(noun) else article(mention.phrase)


def _relate(text: _Text, mentions: Sequence[_Mention], things: Sequence[Thing],
            rng: np.random.Generator) -> None:
    """Up to two sentences such as 'the star is left of the red circle', where they hold."""
    single = [mention for mention in mentions if len(mention.members) == 1]
    for _ in range(rng.integers(0, 3)):
        if len(single) < 2:
            break
        first, second = (single[index] for index in rng.permutation(len(single))[:2])
        relations = holding_relations(things[first.members[0]].box, things[second.members[0]].box)
        if relations:
            text.add('. ')
            text.mention(first, 'the')
            text.add(f' is {relations[rng.integers(len(relations))]} ')
            text.mention(second, 'the')


def holding_relations(first: Box, second: Box) -> list[str]:
    """Which of left of, right of, above, below hold without doubt: the boxes lie wholly apart."""
    return [relation for relation, holds in (
        ('left of', first[2] <= second[0]), ('right of', first[0] >= second[2]),
        ('above', first[3] <= second[1]), ('below', first[1] >= second[3])) if holds]
