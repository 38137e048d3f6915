"""Parts of a config's lists, found by their type and not by their position."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from glipkit.errors import UserError


def type_name(part: Mapping[str, Any]) -> str:
    """The ``type`` of a part of a config, without its scope: 'RandomFlip' of 'mmdet.RandomFlip'."""
    return str(part.get('type', '')).rpartition('.')[2]


def place_of(parts: Sequence[Mapping[str, Any]], start: str, where: str) -> int:
    """Position of the first part whose type begins with a text.

    Args:
        parts: List of a config: transforms, data sets, hooks.
        start: Beginning of the type's name without scope, e.g. 'Pack'.
        where: Name of the list, for the error.

    Raises:
        UserError: No part has such a type.
    """
    for place, part in enumerate(parts):
        if type_name(part).startswith(start):
            return place
    raise UserError(f'{where} with a {start}', f'only {", ".join(map(type_name, parts)) or "none"}',
                    'add it, or pass another config')


def without(parts: Iterable[Mapping[str, Any]], *names: str) -> list:
    """The parts whose type is none of these names (without scope)."""
    return [part for part in parts if type_name(part) not in names]
