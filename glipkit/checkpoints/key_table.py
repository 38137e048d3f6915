"""Renaming state-dict keys by a table of templates that reads both ways.

A template is a key with placeholders in braces. ``{param}`` stands for ``weight`` or ``bias``,
``{tail}`` for any rest of a key, and every other name for an index. An index may be shifted or
scaled: ``{level+2}``, ``{3*block+1}``. The two sides of a row name the same indices, so a row
that turns ``stage.3.norm`` into ``layers.9.norm`` also turns it back.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor

_PLACEHOLDER = re.compile(r'\{(?:(\d+)\*)?([a-z_]+)(?:\+(\d+))?\}')
_PATTERNS = {'param': r'weight|bias', 'tail': r'.+'}


class _Template:
    """One side of a row: matches a key to values, and writes a key from values."""

    def __init__(self, text: str) -> None:
        self._parts: list[str | tuple[int, str, int]] = []
        pattern, end = '', 0
        for match in _PLACEHOLDER.finditer(text):
            scale, name, shift = int(match[1] or 1), match[2], int(match[3] or 0)
            literal = text[end:match.start()]
            self._parts += [literal, (scale, name, shift)]
            pattern += f'{re.escape(literal)}(?P<{name}>{_PATTERNS.get(name, "[0-9]+")})'
            end = match.end()
        self._parts.append(text[end:])
        self._regex = re.compile(pattern + re.escape(text[end:]))

    def match(self, key: str) -> dict[str, str | int] | None:
        found = self._regex.fullmatch(key)
        if found is None:
            return None
        values: dict[str, str | int] = {}
        for part in self._parts:
            if isinstance(part, str):
                continue
            scale, name, shift = part
            if name in _PATTERNS:
                values[name] = found[name]
                continue
            index, rest = divmod(int(found[name]) - shift, scale)
            if rest or index < 0:
                return None
            values[name] = index
        return values

    def write(self, values: dict[str, str | int]) -> str:
        written = ''
        for part in self._parts:
            if isinstance(part, str):
                written += part
            elif part[1] in _PATTERNS:
                written += str(values[part[1]])
            else:
                written += str(part[0] * int(values[part[1]]) + part[2])
        return written


@dataclass(frozen=True)
class Change:
    """Change of a tensor's values between the two layouts; a plain rename has none.

    Args:
        name: Name in reports, one word.
        to_ours: Function from the other layout's tensor to ours.
        from_ours: Its inverse.
    """

    name: str
    to_ours: Callable[[Tensor], Tensor]
    from_ours: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Row:
    """One kind of tensor: its key in our layout, its key in the other one, its change of values."""

    ours: str
    theirs: str
    change: Change | None = None
    _sides: tuple[_Template, _Template] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, '_sides', (_Template(self.ours), _Template(self.theirs)))

    def rename(self, key: str, to_ours: bool) -> str | None:
        """The key on the other side, or None when this row does not know the key."""
        ours, theirs = self._sides
        source, target = (theirs, ours) if to_ours else (ours, theirs)
        values = source.match(key)
        return None if values is None else target.write(values)


class KeyTable:
    """Rows in order of precedence: the first that knows a key renames it."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def translate(self, state: dict[str, Tensor],
                  to_ours: bool) -> tuple[dict[str, Tensor], list[str], list[str]]:
        """Renames a whole state dict.

        Args:
            state: Keys and tensors of the side that is left.
            to_ours: The direction.

        Returns:
            The renamed state, the keys no row knows, and the (source) keys whose values moved.
        """
        renamed: dict[str, Tensor] = {}
        unknown, changed = [], []
        for key, tensor in state.items():
            for row in self.rows:
                target = row.rename(key, to_ours)
                if target is not None:
                    break
            else:
                unknown.append(key)
                continue
            if row.change is not None:
                change = row.change.to_ours if to_ours else row.change.from_ours
                before = tensor
                # A shape that cannot be this tensor's is reported by the comparison of shapes that
                # follows every translation.
                with suppress(RuntimeError):
                    tensor = change(before)
                if tensor.shape != before.shape or not torch.equal(tensor, before):
                    changed.append(key)
            renamed[target] = tensor
        return renamed, unknown, changed
