"""Tables in markdown."""
from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[object], rows: Sequence[Sequence[object]],
                   right: Sequence[int] = ()) -> str:
    """A table, without a line break at its end.

    Args:
        header: Titles of the columns.
        rows: Cells of each row; anything that has a text. A pipe or a line break in a cell does
            not end it.
        right: Positions of the columns whose cells stand at the right, as numbers do.

    >>> print(markdown_table(['name', 'AP'], [['a|b', 0.5]], right=[1]))
    | name | AP |
    |---|---:|
    | a\\|b | 0.5 |
    """
    rule = ['---:' if i in right else '---' for i in range(len(header))]
    return '\n'.join([_line(header), f'|{"|".join(rule)}|', *map(_line, rows)])


def _line(cells: Sequence[object]) -> str:
    return f'| {" | ".join(map(_cell, cells))} |'


def _cell(value: object) -> str:
    return str(value).replace('|', '\\|').replace('\n', ' ')
