"""The words that a person types on the page."""
from __future__ import annotations

from collections.abc import Sequence

from glipkit.apis.asking import as_query, split_names
from glipkit.text.query import Query


def split_words(text: str) -> tuple[str, ...]:
    """Words between commas or on lines, each once; quotes keep a comma: ``"salt, pepper"``."""
    return tuple(dict.fromkeys(word for line in (text or '').splitlines()
                               for word in split_names(line) if word))


def split_groups(text: str) -> tuple[tuple[str, ...], ...]:
    """The words of each line that has some."""
    return tuple(group for line in (text or '').splitlines() if (group := split_words(line)))


def as_classes(words: Sequence[str], more: Sequence[str] = ()) -> tuple[str, ...] | Query:
    """Class names of words of which each may name its other names: ``cup = mug = coffee cup``.

    Args:
        words: From `split_words`.
        more: Names of what was shown; one that is among the words stays where it is.

    Raises:
        UserError: A name that would mean two things.
    """
    named = [[name.strip() for name in word.split('=')] for word in words]
    named += [[name] for name in more if all(name != first for first, *_ in named)]
    if all(len(names) == 1 for names in named):
        return tuple(name for name, in named)
    return as_query({first: [name for name in others if name] for first, *others in named})
