"""A scoreboard as files: JSON for programs, markdown for people, CSV for sheets, and a picture."""
from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from glipkit.apis.results import installed
from glipkit.common.markdown import markdown_table
from glipkit.files import write_encoded, write_text
from glipkit.odinw.scoreboard import Scoreboard

NAME = 'scoreboard'
#: Height of a data set in the picture, in inches.
_ROW = .3


def write_scoreboard(board: Scoreboard, folder: str | Path,
                     skipped: Mapping[str, str] | None = None) -> Path:
    """Writes ``scoreboard.json``, ``.md``, ``.csv`` and ``.png``; returns the JSON file.

    Args:
        board: Scoreboard to write.
        folder: Folder of the files.
        skipped: Title of a data set -> why it was left out.

    Raises:
        UserError: Nothing can be written there.
    """
    path = Path(folder) / f'{NAME}.json'
    write_text(path.with_suffix('.md'), scoreboard_markdown(board, skipped))
    write_text(path.with_suffix('.csv'), scoreboard_csv(board))
    plot_scoreboard(board, path.with_suffix('.png'))
    content = {**asdict(board), 'missing': board.missing, 'partial': board.partial,
               'skipped': dict(skipped or {}), 'versions': installed()}
    write_text(path, json.dumps(content, indent=2) + '\n')
    return path


def scoreboard_markdown(board: Scoreboard, skipped: Mapping[str, str] | None = None) -> str:
    """A table of data sets in percent, their mean and median; a partial one says so.

    Args:
        board: Scoreboard to show.
        skipped: Title of a data set -> why it was left out.
    """
    theirs = board.published_source is not None
    header = ('data set', 'AP', *(['published'] if theirs else []))
    rows = [(row.title, _percent(row.ap), *([_percent(row.published)] if theirs else []))
            for row in board.rows]
    scope = f' of {len(board.rows) - len(board.missing)} (partial)' if board.partial else ''
    empty = [''] if theirs else []
    rows += [(f'**average{scope}**', f'**{_percent(board.average)}**', *empty),
             (f'median{scope}', _percent(board.median), *empty)]
    if board.shared:
        rows.append(('average where published', *map(_percent, board.shared)))
    rows += [(f'average of {_counted(board, kind)}', _percent(mean), *empty)
             for kind, mean in board.categories.items()]
    lines = [f'# {board.title}', '', markdown_table(header, rows, right=range(1, len(header))), '',
             f'- {board.protocol}']
    if theirs:
        lines.append(f'- published: {board.published_source}')
    skipped = skipped or {}
    lines += [f'- {title} was left out: {reason}' for title, reason in skipped.items()]
    without = [title for title in board.missing if title not in skipped]
    if without:
        lines.append(f'- missing: {", ".join(without)}')
    return '\n'.join(lines) + '\n'


def scoreboard_csv(board: Scoreboard) -> str:
    """Name, title, AP and published AP of each data set, from 0 to 1; empty where missing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(('dataset', 'title', 'ap', 'published'))
    writer.writerows((row.name, row.title, row.ap, row.published) for row in board.rows)
    kind = 'partial average' if board.partial else 'average'
    writer.writerow((kind, '', board.average, ''))
    writer.writerow((kind.replace('average', 'median'), '', board.median, ''))
    writer.writerows((f'average of {_counted(board, kind)}', '', mean, '')
                     for kind, mean in board.categories.items())
    return text.getvalue()


def _counted(board: Scoreboard, category: str) -> str:
    """A kind of data sets and how many of it have a score."""
    there = [row.ap is not None for row in board.rows if row.category == category]
    return f'{category} ({sum(there)}{"" if all(there) else f" of {len(there)}"})'


def plot_scoreboard(board: Scoreboard, path: Path) -> None:
    """A bar per data set in percent, the published one behind it; the mean as a line."""
    places = np.arange(len(board.rows))
    figure = Figure(figsize=(6.5, 1.2 + _ROW * len(places)), layout='constrained')
    axes = figure.subplots()
    if board.published_source is not None:
        axes.barh(places, [_bar(row.published) for row in board.rows], .8, color='tab:gray',
                  alpha=.4, label=f'published: {board.published_source}')
    axes.barh(places, [_bar(row.ap) for row in board.rows], .45, color='tab:blue',
              label='measured')
    if board.average is not None:
        axes.axvline(100 * board.average, color='tab:blue', ls=':',
                     label=f'average of {len(places) - len(board.missing)}')
    axes.set(yticks=places, yticklabels=[row.title for row in board.rows], xlabel='AP',
             xlim=(0, 100), title=board.title)
    axes.invert_yaxis()
    figure.legend(loc='outside lower center', ncols=3, frameon=False, fontsize=8)
    write_encoded(path, lambda file: figure.savefig(file, dpi=110, format=path.suffix[1:]))


def _bar(value: float | None) -> float:
    return 0. if value is None else 100 * value


def _percent(value: float | None) -> str:
    return '-' if value is None else f'{100 * value:.1f}'
