"""Comparing a checkpoint's tensors with those of a model, and describing the differences."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from torch import Tensor

from glipkit.errors import UserError

Shape = tuple[int, ...]

_SHOWN = 8


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Key to shape of a state dict."""
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def fold(keys: Iterable[str]) -> str:
    """A readable list of keys: those that differ in numbers alone become one entry with a count."""
    groups: dict[str, list[str]] = {}
    for key in sorted(keys):
        groups.setdefault(re.sub(r'\d+', '*', key), []).append(key)
    entries = [_merge(same) for same in groups.values()]
    left = sum(map(len, list(groups.values())[_SHOWN:]))
    return ', '.join(entries[:_SHOWN]) + (f' and {left} more' if left else '')


def _merge(same: list[str]) -> str:
    """One entry for keys of one pattern: ``*`` where their numbers differ."""
    parts = zip(*(re.split(r'(\d+)', key) for key in same))
    merged = ''.join(column[0] if len(set(column)) == 1 else '*' for column in parts)
    return merged if len(same) == 1 else f'{merged} ({len(same)})'


def describe(wanted: Mapping[str, Shape], found: Mapping[str, Shape],
             unknown: Iterable[str] = (),
             derived: Callable[[str], bool] = lambda key: False) -> list[str]:
    """The differences between two sets of tensors, in words; empty when there is none.

    Args:
        wanted: Key to shape as the model has them.
        found: Key to shape as the file has them.
        unknown: Keys of the file that could not even be named in our layout.
        derived: Whether a tensor follows from the others and may be missing.
    """
    missing = [key for key in wanted if key not in found and not derived(key)]
    unexpected = [key for key in found if key not in wanted] + list(unknown)
    other = [f'{key} {list(found[key])} instead of {list(wanted[key])}'
             for key in wanted if key in found and tuple(found[key]) != tuple(wanted[key])]
    problems = []
    if missing:
        problems.append(f'{len(missing)} missing: {fold(missing)}')
    if unexpected:
        problems.append(f'{len(unexpected)} unexpected: {fold(unexpected)}')
    if other:
        shown = ', '.join(sorted(other)[:3])
        more = f' and {len(other) - 3} more' if len(other) > 3 else ''
        problems.append(f'{len(other)} of another shape: {shown}{more}')
    return problems


def refuse(expected: str, path: str | Path, problems: list[str], fix: str) -> UserError:
    """The error for a checkpoint whose tensors are not the wanted ones."""
    return UserError(expected, f'{path} with tensors ' + '; '.join(problems), fix)
