"""The words that a person types on the page: names, other names, and names of which one counts."""
from __future__ import annotations

from dataclasses import dataclass

from glipkit.apis.asking import split_names
from glipkit.errors import UserError

#: Between other names of one thing, and between names of which one object has one.
SAME, EITHER = '=', '|'


@dataclass(frozen=True)
class Words:
    """What a line of words asks for.

    Args:
        names: Names, each once.
        synonyms: (name, its other names) of names that have some.
        exclusive: Groups of names of which one object has one.
    """

    names: tuple[str, ...] = ()
    synonyms: tuple[tuple[str, tuple[str, ...]], ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()


def split_words(text: str) -> tuple[str, ...]:
    """Words between commas or on lines, each once; quotes keep a comma: ``"salt, pepper"``."""
    return tuple(dict.fromkeys(word for line in (text or '').splitlines()
                               for word in split_names(line) if word))


def read_words(text: str) -> Words:
    """Words with what goes with them: ``cup = mug = coffee cup, with helmet | without helmet``.

    Raises:
        UserError: A sign without a name beside it.
    """
    names: dict[str, tuple[str, ...]] = {}
    exclusive = []
    for word in split_words(text):
        group = [_same(one, word) for one in word.split(EITHER)]
        for name, *others in group:
            names[name] = tuple(dict.fromkeys((*names.get(name, ()), *others)))
        if len(group) > 1:
            exclusive.append(tuple(name for name, *_ in group))
    return Words(tuple(names), tuple((name, others) for name, others in names.items() if others),
                 tuple(exclusive))


def _same(text: str, word: str) -> list[str]:
    """A name and its other names."""
    found = [name.strip() for name in text.split(SAME)]
    if not all(found):
        raise UserError(f'a name on both sides of {SAME} and {EITHER}', repr(word),
                        'write e.g. cup = mug, with helmet | without helmet')
    return found
