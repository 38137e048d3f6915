"""Captions: spans give the phrase, phrases are true of exactly their boxes, relations hold."""
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glipkit.worlds import captions
from glipkit.worlds.captions import Thing, describe, holding_relations
from glipkit.worlds.english import COUNTS, article, plural

WORDS = st.tuples(st.sampled_from(['small', 'large']), st.sampled_from(['red', 'orange']),
                  st.sampled_from(['plain', 'dotted']), st.sampled_from(['circle', 'cross']))


@st.composite
def scenes(draw):
    """Up to six things with distinct boxes."""
    words = draw(st.lists(WORDS, min_size=1, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corners = rng.integers(0, 100, (len(words), 2))
    boxes = [(float(x), float(y), float(x + 20 + rank), float(y + 30))
             for rank, (x, y) in enumerate(corners)]
    return [Thing(*pair) for pair in zip(words, boxes)], rng


@settings(max_examples=300, deadline=None)
@given(scenes())
def test_phrases_are_exact_true_and_complete(scene):
    things, rng = scene
    caption, regions = describe(things, rng)
    assert regions and caption
    spoken = Counter()
    for region in regions:
        assert all(caption[start:end] == region.phrase for start, end in region.spans)
        words = region.phrase.split()
        if len(region.boxes) > 1:
            words[-1] = {'circles': 'circle', 'crosses': 'cross'}[words[-1]]
        matching = {thing.box for thing in things if set(words) <= set(thing.terms)}
        assert set(region.boxes) == matching and len(region.boxes) == len(matching)
        spoken.update(region.boxes)
    assert max(spoken.values()) == 1, 'an object belongs to two phrases'
    every_span = sorted(span for region in regions for span in region.spans)
    assert all(end <= start for (_, end), (start, _) in zip(every_span, every_span[1:]))


@settings(max_examples=300, deadline=None)
@given(scenes())
def test_counts_and_relations_are_true(scene):
    things, rng = scene
    caption, regions = describe(things, rng)
    starts = {start: region for region in regions for start, _ in region.spans}
    ends = {end: region for region in regions for _, end in region.spans}
    for start, region in starts.items():
        before = caption[:start].split()
        if before and before[-1] in COUNTS:
            assert COUNTS.index(before[-1]) == len(region.boxes)
        if before and before[-1] in ('a', 'an'):
            assert len(region.boxes) == 1 and before[-1] == article(region.phrase)
    for found in re.finditer(r' is (left of|right of|above|below) the ', caption):
        first, second = ends[found.start()].boxes[0], starts[found.end()].boxes[0]
        assert found[1] in holding_relations(first, second)


def test_all_that_the_grammar_can_say_is_said():
    rng = np.random.default_rng(0)
    things = [Thing(('small', 'red', 'plain', 'circle'), (0., 0., 9., 9.)),
              Thing(('small', 'red', 'dotted', 'circle'), (20., 0., 29., 9.)),
              Thing(('large', 'orange', 'plain', 'cross'), (0., 50., 40., 90.))]
    written = [describe(things, rng) for _ in range(400)]
    text = ' '.join(caption for caption, _ in written)
    for words in ('two circles', 'red circles', 'a large orange plain cross', 'an orange', 'the ',
                  ' is below the ', ' is left of the ', 'there are two', ', '):
        assert words in text, words
    assert any(len(region.spans) > 1 for _, regions in written for region in regions)


@pytest.mark.parametrize('first, second, expected', [
    ((0, 0, 10, 10), (10, 0, 20, 10), ['left of']),
    ((30, 0, 40, 10), (10, 20, 20, 30), ['right of', 'above']),
    ((0, 9, 10, 19), (0, 0, 10, 10), []),
    ((0, 10, 10, 19), (0, 0, 10, 10), ['below'])])
def test_relations_need_boxes_that_lie_apart(first, second, expected):
    assert holding_relations(first, second) == expected


@pytest.mark.parametrize('noun, expected', [
    ('circle', 'circles'), ('cross', 'crosses'), ('cherry', 'cherries'), ('key', 'keys'),
    ('stop sign', 'stop signs'), ('mouse', 'mice'), ('lionfish', 'lionfish'), ('fox', 'foxes'),
    ('scissors', 'scissors'), ('tomato', 'tomatoes'), ('planet mars', 'planet mars')])
def test_plural(noun, expected):
    assert plural(noun) == expected


def test_uncounted_and_proper_nouns_take_no_count():
    boxes = [(0., 0., 9., 9.), (20., 0., 29., 9.)]
    rng = np.random.default_rng(1)
    for noun in ('scissors', 'planet mars'):
        one = ' '.join(describe([Thing((noun,), boxes[0])], rng)[0] for _ in range(60))
        two = ' '.join(describe([Thing((noun,), box) for box in boxes], rng)[0] for _ in range(60))
        assert f'a {noun}' not in one and f'two {noun}' not in two
        assert ('some scissors' in one) == (noun == 'scissors')


def test_caption_of_a_fixed_scene_is_fixed():
    things = [Thing(('small', 'red'), (0., 0., 9., 9.))]
    first, second = (describe(things, np.random.default_rng(5)) for _ in range(2))
    assert first == second
    assert captions.matches(things, ('red',)) == (0,) and captions.matches(things, ('blue',)) == ()
