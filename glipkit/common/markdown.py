"""Tables in markdown."""
from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[object], rows: Sequence[Sequence[object]],
                   right: Sequence[int] = ()) -> str:
    """A table, without a line break at its end.

    Args:
        header: Titles of the columns.
        rows: Cells of each row, of any type that ``str`` takes. Pipes in a cell are escaped, line
            breaks become blanks.
        right: Positions of the columns that are aligned to the right, as numbers are.

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
