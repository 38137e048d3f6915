"""Text of other people's files as something that is safe to show."""
from __future__ import annotations

import unicodedata


def visible(text: str) -> str:
    r"""The text with control characters and halves of surrogate pairs written as escapes.

    A terminal obeys them, and so do some readers of a page: colours, deleted lines, text that runs
    backwards. Line breaks and tabs are control characters, too.

    >>> visible('red\x1b[2J')
    'red\\x1b[2J'
    """
    return ''.join(_escaped(c) if _is_hidden(c) else c for c in text)


def _is_hidden(character: str) -> bool:
    # Joiners and variation selectors of emoji and of Persian are harmless; marks of direction are
    # format characters as well, and are not.
    kind = unicodedata.category(character)
    return kind in ('Cc', 'Cs') or '\u202a' <= character <= '\u202e' or \
        '\u2066' <= character <= '\u2069'


def _escaped(character: str) -> str:
    code = ord(character)
    return f'\\x{code:02x}' if code < 0x100 else f'\\u{code:04x}'
