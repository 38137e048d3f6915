"""Results of benchmarks as files: JSON with everything, tables in markdown, a page of all tables.

A page of the documentation has a part between two marks that is written from the JSON files of a
folder; what is around it is written by hand.
"""
from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.apis.environment import collect
from glipkit.common.markdown import markdown_table
from glipkit.errors import UserError
from glipkit.files import make_folder, write_text

BEGIN, END = '<!-- results: begin -->', '<!-- results: end -->'
LIBRARIES = ('torch', 'torchvision', 'mmcv', 'mmdet')


def document(benchmark: str, argv: Sequence[str], result: Mapping[str, Any]) -> dict[str, Any]:
    """A benchmark's result with what it takes to repeat it.

    Args:
        benchmark: Its name on the command line.
        argv: The arguments after it.
        result: Result of its ``run``.
    """
    return {'benchmark': benchmark, 'command': shlex.join(['glipkit', 'bench', benchmark, *argv]),
            'date': date.today().isoformat(), 'machine': machine(), **result}


def machine() -> dict[str, str]:
    """Processor, system and versions, without any path."""
    report = collect()
    found = {'cpu': report['system']['cpu'], 'memory': _memory(),
             'accelerators': report['foundations']['devices'], 'os': report['system']['os'],
             'python': platform.python_version(),
             'glipkit': f"{report['glipkit']['version']}, {report['glipkit']['commit']}"}
    found.update({name: report['foundations'][name] for name in LIBRARIES})
    found['mmcv operators'] = report['foundations']['mmcv operators']
    return found


def _memory() -> str:
    try:
        first = Path('/proc/meminfo').read_text().split('\n', 1)[0]
        return f'{int(first.split()[1]) / 2**20:.0f} GiB'
    except (OSError, ValueError, IndexError):
        return 'unknown'


def to_json(content: Mapping[str, Any]) -> str:
    """As it is written to files."""
    return json.dumps(content, indent=1, ensure_ascii=False) + '\n'


def to_markdown(content: Mapping[str, Any], level: int = 1) -> str:
    """A result as markdown: a table of its rows, its notes, what it was run with.

    Args:
        content: Result of :func:`document`.
        level: Level of the heading.
    """
    parts = [f"{'#' * level} {content['benchmark']}{_what(content)}", f"`{content['command']}`",
             table(content['rows'])]
    notes = content.get('notes', ())
    if notes:
        parts.append('\n'.join(f'- {note}' for note in notes))
    setting = ', '.join(f'{name} {value}' for name, value in content.get('setting', {}).items())
    if setting:
        parts.append(f'Setting: {setting}.')
    where = '; '.join(f'{name} {value}' for name, value in content['machine'].items())
    parts.append(f"{content['date']}: {where}.")
    return '\n\n'.join(parts) + '\n'


def _what(content: Mapping[str, Any]) -> str:
    config = content.get('setting', {}).get('config')
    return f': {config}' if config else ''


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a markdown table.

    A column for every key, in the order in which they first occur; lists and dicts in rows are for
    the JSON alone.
    """
    columns = list(dict.fromkeys(key for row in rows for key, value in row.items()
                                 if not isinstance(value, (list, dict))))
    # Numbers are compared by eye, which needs them aligned to the right.
    numeric = {key: all(isinstance(row[key], (int, float)) for row in rows if key in row)
               for key in columns}
    return markdown_table(columns, [[_cell(row.get(key, '')) for key in columns] for row in rows],
                          right=[i for i, key in enumerate(columns) if numeric[key]])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'{value:.0f}' if abs(value) >= 1000 else f'{value:.4g}'
    return str(value)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean and deviation (of the population), e.g. over seeds.

    >>> spread([1., 3.])
    '2.0 ± 1.0'
    """
    return f'{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}'


def save(content: Mapping[str, Any], folder: Path, name: str) -> Path:
    """Writes ``name.json`` and ``name.md`` to a folder; returns the JSON file.

    Raises:
        UserError: When that is impossible.
    """
    make_folder(folder)
    write_text(folder / f'{name}.md', to_markdown(content))
    path = folder / f'{name}.json'
    write_text(path, to_json(content))
    return path


def load(path: Path) -> dict[str, Any]:
    """A result that :func:`save` wrote.

    Raises:
        UserError: When it is none.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        if {'benchmark', 'command', 'date', 'machine', 'rows'} <= set(content):
            return content
        problem = 'keys are missing'
    except (OSError, ValueError, TypeError) as error:
        problem = str(error)
    raise UserError('a result of glipkit bench', f'{path} ({problem})', 'remove it') from None


def write_page(page: Path, folder: Path) -> None:
    """Rewrites the marked part of a page from the JSON files of a folder, by name.

    Raises:
        UserError: When the page has no such part, or a file is no result.
    """
    before, after = check_page(page)
    contents = [load(path) for path in sorted(folder.glob('*.json'))]
    parts = [to_markdown(content, level=3) for content in contents] or ['No results yet.\n']
    write_text(page, f'{before}{BEGIN}\n\n' + '\n'.join(parts) + f'\n{END}{after}')


def check_page(page: Path) -> tuple[str, str]:
    """What stands before and after the marked part of a page.

    Raises:
        UserError: When there is none.
    """
    try:
        before, rest = page.read_text(encoding='utf-8').split(BEGIN)
        _, after = rest.split(END)
    except (OSError, ValueError) as error:
        raise UserError(f'a page with the marks {BEGIN} and {END}', f'{page} ({error})',
                        'add the two lines to it') from error
    return before, after
