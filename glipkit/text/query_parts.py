"""What goes with the class names of a query: other names, what is not meant, what excludes."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from glipkit.errors import UserError

Synonyms = tuple[tuple[str, tuple[str, ...]], ...]
"""(class name, its other names) pairs."""
Groups = tuple[tuple[str, ...], ...]
"""Groups of class names."""

#: How the scores of the names of one class become one.
COMBINE = ('max', 'mean')


def frozen_names(names: Iterable[str], what: str) -> tuple[str, ...]:
    """Names as a value that can be hashed.

    Args:
        names: Any number, in an order.
        what: The argument, for the message.

    Raises:
        UserError: Not a list of strings.
    """
    ordered = isinstance(names, Iterable) and not isinstance(names, (str, set, frozenset, Mapping))
    found = tuple(names) if ordered else ()
    if not ordered or not all(isinstance(name, str) for name in found):
        raise UserError(f'{what} as a list of names', f'{type(names).__name__} {names!r}',
                        "pass e.g. ['mug', 'coffee cup']")
    return found


def frozen_synonyms(synonyms: Mapping[str, Iterable[str]] | None) -> Synonyms:
    """Class name -> its other names, as pairs; classes without any are left out.

    Raises:
        UserError: Of another form.
    """
    if synonyms is None:
        return ()
    if not isinstance(synonyms, Mapping):
        raise UserError('synonyms as class name -> its other names',
                        f'{type(synonyms).__name__} {synonyms!r}', "pass e.g. {'cup': ['mug']}")
    frozen = ((name, frozen_names(others, f'other names of {name!r}'))
              for name, others in synonyms.items())
    return tuple((name, others) for name, others in frozen if others)


def frozen_groups(groups: Iterable[Iterable[str]]) -> Groups:
    """Groups of class names, as tuples.

    Raises:
        UserError: Of another form.
    """
    if isinstance(groups, (str, Mapping)) or not isinstance(groups, Iterable):
        raise UserError('exclusive as a list of groups of class names',
                        f'{type(groups).__name__} {groups!r}',
                        "pass e.g. [['with helmet', 'without helmet']]")
    return tuple(frozen_names(group, 'a group of exclusive') for group in groups)


def check_parts(classes: Sequence[Any], synonyms: Synonyms, combine: str,
                negatives: Sequence[str], groups: Groups) -> None:
    """Refuses class names that are no strings, names that would mean two things or nothing.

    Raises:
        UserError: With the name.
    """
    if combine not in COMBINE:
        raise UserError("combine='max' or 'mean'", repr(combine), 'choose one of these')
    for name in classes:
        if not isinstance(name, str):
            raise UserError('class names that are strings', f'{type(name).__name__} {name!r}',
                            'quote the name')
    if not (synonyms or negatives or groups):
        return
    meaning = dict.fromkeys(classes, 'a class')
    for name, others in synonyms:
        _check_class(name, classes, 'synonyms')
        for other in others:
            _claim(other, f'another name of {name!r}', meaning)
    for name in negatives:
        _claim(name, 'a negative', meaning)
    for group in groups:
        for name in group:
            _check_class(name, classes, 'exclusive')
        if len(set(group)) != len(group) or len(group) < 2:
            raise UserError('exclusive groups of two or more different classes', repr(list(group)),
                            'correct the group')


def _claim(name: str, meant: str, meaning: dict[str, str]) -> None:
    if name in meaning:
        raise UserError('names that each mean one thing',
                        f'{name!r} as {meaning[name]} and as {meant}', 'drop one of them')
    meaning[name] = meant


def _check_class(name: str, classes: Sequence[Any], where: str) -> None:
    if name not in classes:
        raise UserError(f'names of classes in {where}', f'{name!r}, which is no class',
                        'add it to the classes, or correct the name')
