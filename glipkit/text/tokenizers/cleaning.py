"""Plain text from text of the web: broken encodings, entities, curled quotes, strange widths."""
from __future__ import annotations

import html
import re
import unicodedata

_LIGATURES = 'ĲĳŉǱǲǳǄǅǆǇǈǉǊǋǌﬀﬁﬂﬃﬄﬅﬆ'
_WIDE = [0x3000, *range(0xFF01, 0xFFF0)]
_CONTROLS = [*range(0x09), 0x0B, *range(0x0E, 0x20), 0x7F, *range(0x206A, 0x2070), 0xFEFF,
             *range(0xFFF9, 0xFFFD)]
_PLAIN = {
    **{ord(c): unicodedata.normalize('NFKC', c) for c in (*_LIGATURES, *map(chr, _WIDE))},
    **dict.fromkeys([0x2BC, *range(0x2018, 0x201C)], "'"),
    **dict.fromkeys(range(0x201C, 0x2020), '"'),
    **dict.fromkeys(_CONTROLS),
}
_ESCAPES = re.compile(r'\x1b\[[\d;]*[A-Za-z]')


def _read_as_windows(byte: int) -> str:
    """The character that software took a byte for."""
    try:
        return bytes([byte]).decode('cp1252')
    except UnicodeDecodeError:  # five bytes stand for no character
        return chr(byte)


_BYTES = {_read_as_windows(byte): byte for byte in range(256)}


def _class(first: int, last: int) -> str:
    return '[' + ''.join(re.escape(_read_as_windows(b)) for b in range(first, last + 1)) + ']'


_NEXT = _class(0x80, 0xBF)
#: UTF-8 of one character, read as Windows-1252. Of the pairs only the most frequent ones: others,
#: like a capital letter before a closing guillemet, stand in right texts, too.
_BROKEN = re.compile('|'.join((_class(0xC2, 0xC3) + _NEXT, _class(0xE0, 0xEF) + _NEXT * 2,
                               _class(0xF0, 0xF4) + _NEXT * 3)))


def _mend(match: re.Match) -> str:
    try:
        return bytes(_BYTES[c] for c in match[0]).decode('utf-8')
    except UnicodeDecodeError:
        return match[0]


def clean(text: str) -> str:
    """Text as a caption of CLIP's training set was cleaned.

    Mends UTF-8 that was read as Windows-1252, takes ligatures and wide forms apart, straightens
    quotes, removes control characters, composes accents (NFC), resolves HTML entities twice and
    makes each white space one blank. These are the steps of CLIP's tokenizer, whose first half is
    the library ftfy; of its guesses only the frequent case of a broken encoding is made here.
    """
    if not text.isascii():
        text = _BROKEN.sub(_mend, text)
    text = unicodedata.normalize('NFC', _ESCAPES.sub('', text).translate(_PLAIN))
    text = html.unescape(html.unescape(text))
    return ' '.join(text.split())
