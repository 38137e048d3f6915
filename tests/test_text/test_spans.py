"""The character-to-token rule, by hand, against the reference tokenizer, and as a property."""
from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import BertWordPieceTokenizer

from glipkit.text.spans import token_map
from glipkit.text.tokenizers import UNCASED_VOCABULARY, BertTokenizer

TOKENIZER = BertTokenizer()


def marked(caption: str, spans: list[tuple[int, int]], num_tokens: int | None = None,
           max_tokens: int | None = None) -> list[int]:
    """Indices of the tokens of one entity."""
    tokens = TOKENIZER([caption], max_tokens, truncate=max_tokens is not None)
    rows = token_map(tokens.offsets[0], [spans], num_tokens or tokens.ids.shape[1])
    return rows[0].nonzero().flatten().tolist()


# 'a b': [CLS]=0, a=1, b=2, [SEP]=3
@pytest.mark.parametrize('caption, spans, expected', [
    ('a b', [(0, 1)], [1]),
    ('a b', [(0, 2)], [1]),  # ends on the blank: character 1 has no token, 0 has
    ('a b', [(1, 3)], [2]),  # begins on the blank
    ('a b', [(1, 2)], []),  # the blank alone: first is b, last is a
    ('a b', [(0, 3)], [1, 2]),
    ('a  b', [(0, 3)], [1]),  # two blanks at the end: the third try finds a
    ('a   b', [(0, 4)], []),  # three: given up
    ('a  b', [(1, 4)], [2]),
    ('a   b', [(1, 5)], []),
    ('a b', [(0, 0)], []),  # character -1 does not exist
    ('a b', [(2, 9)], []),  # 8, 7, 6 do not exist
    ('a b', [(2, 5)], [2]),  # 4 and 3 do not exist, 2 does
    ('a b', [(0, 1), (2, 3)], [1, 2]),
    ('a b', [(0, 1), (7, 9)], [1]),  # a bad span does not hurt a good one
    ('a b', [], []),
    ('hair drier. cat', [(0, 10)], [1, 2, 3]),  # 'drier' is two pieces
    ('hair drier. cat', [(5, 10)], [2, 3]),
    ('hair drier. cat', [(6, 7)], [2]),  # inside a word: the piece that covers it
])
def test_by_hand(caption, spans, expected):
    assert marked(caption, spans) == expected


def test_golden_caption():
    caption = 'a man in a red shirt holds two umbrellas near the traffic light'
    tokens = TOKENIZER([caption])
    rows = token_map(tokens.offsets[0], [[(0, 5)], [(9, 20)], [(27, 40)], [(46, 63)]], 16)
    assert [row.nonzero().flatten().tolist() for row in rows] == [
        [1, 2], [4, 5, 6], [8, 9, 10], [12, 13, 14]]


def test_truncated_caption_skips_spans_with_a_lost_end():
    caption = 'one two three four'
    assert marked(caption, [(4, 7)], max_tokens=5) == [2]
    assert marked(caption, [(14, 18)], max_tokens=5) == []
    assert marked(caption, [(4, 18)], max_tokens=5) == []  # begins inside, ends outside


def test_narrow_map_cuts_tokens_off():
    assert marked('one two three four', [(4, 18)], num_tokens=4) == [2, 3]
    assert marked('one two three four', [(14, 18)], num_tokens=4) == []


def test_wide_map_pads():
    rows = token_map(TOKENIZER(['a b']).offsets[0], [[(0, 1)], [(2, 3)]], 10)
    assert rows.shape == (2, 10) and rows.dtype == torch.bool
    assert rows.nonzero().tolist() == [[0, 1], [1, 2]]
    assert token_map([(0, 0)], [], 5).shape == (0, 5)


def official_row(encoding, begin: int, end: int) -> list[int]:
    """The rule once more, on the reference tokenizer's own character lookup."""

    def lookup(character: int) -> int | None:
        return encoding.char_to_token(character) if character >= 0 else None

    def first_found(characters: list[int]) -> int | None:
        found = [lookup(c) for c in characters]
        return next((token for token in found if token is not None), None)

    first = first_found([begin, begin + 1, begin + 2])
    last = first_found([end - 1, end - 2, end - 3])
    return [] if first is None or last is None else list(range(first, last + 1))


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet=st.sampled_from('ab é.-\n\u0301中🚗한İ'), max_size=20), st.data())
def test_equals_char_to_token(caption, data):
    reference = BertWordPieceTokenizer(str(UNCASED_VOCABULARY), lowercase=True)
    begin = data.draw(st.integers(0, len(caption)))
    end = data.draw(st.integers(begin, len(caption) + 2))
    assert marked(caption, [(begin, end)]) == official_row(
        reference.encode(caption), begin, end)


WORDS = st.lists(st.sampled_from(
    ['dog', 'umbrellas', 'hair', 'drier', 'x', 'skateboarder', 'T-shirt', 'café', '42',
     "man's"]), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(WORDS, st.data())
def test_whole_words_get_exactly_their_tokens(words, data):
    gaps = [data.draw(st.sampled_from([' ', '  ', '. ', ', '])) for _ in words]
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    caption, bounds = '', []
    for word, gap in zip(words, gaps):
        bounds.append((len(caption), len(caption) + len(word)))
        caption += word + gap
    begin, end = bounds[first][0], bounds[last][1]
    offsets = TOKENIZER([caption]).offsets[0]
    overlapping = [i for i, (a, b) in enumerate(offsets) if a < end and b > begin]
    assert marked(caption, [(begin, end)]) == overlapping
