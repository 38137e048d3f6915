"""Where words begin and end, in scripts with and without blanks between them."""
from __future__ import annotations

import unicodedata
from bisect import bisect

# First and last characters of the scripts that put no blanks between words, in ascending order:
# Thai to Tibetan, Myanmar, Khmer, Tai Le and New Tai Lue, Tai Tham, Javanese, Han and kana.
_WITHOUT_BLANKS = (
    (0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF),
    (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x312F), (0x31A0, 0x31BF), (0x31F0, 0x31FF),
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA980, 0xA9DF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F),
    (0x20000, 0x3FFFF))
_FIRST = [first for first, _ in _WITHOUT_BLANKS]


def cuts_word(text: str, place: int) -> bool:
    """Whether a cut before ``text[place]`` goes through a word, or parts a mark from its letter.

    In a script without blanks every letter may begin a word: nothing there tells otherwise.

    >>> cuts_word('a woman', 4), cuts_word('一只猫', 2)
    (True, False)
    """
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    if is_mark(after):
        return True
    inside = all(c.isalnum() or is_mark(c) for c in (before, after))
    return inside and not (_is_without_blanks(before) or _is_without_blanks(after))


def stands_alone(text: str, begin: int, end: int) -> bool:
    """Whether ``text[begin:end]`` is no part of a longer word; underscores belong to words."""
    def bound(outside: str, inside: str) -> bool:
        in_word = outside == '_' or outside.isalnum() or is_mark(outside)
        return not in_word or _is_without_blanks(outside) or _is_without_blanks(inside)

    if begin > 0 and not bound(text[begin - 1], text[begin]):
        return False
    return end >= len(text) or not is_mark(text[end]) and bound(text[end], text[end - 1])


def is_mark(character: str) -> bool:
    """Whether a character is an accent or a vowel sign of the letter before it."""
    return unicodedata.category(character)[0] == 'M'


def _is_without_blanks(character: str) -> bool:
    place = bisect(_FIRST, ord(character)) - 1
    return place >= 0 and ord(character) <= _WITHOUT_BLANKS[place][1]
