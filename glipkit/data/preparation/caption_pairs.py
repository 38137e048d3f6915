"""Captions and the places of their images, from the usual kinds of lists."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glipkit.common.image_files import is_image_file
from glipkit.data.line_index import parse_object
from glipkit.data.preparation.json_stream import stream_lines
from glipkit.errors import UserError


@dataclass(frozen=True)
class Pair:
    """A caption and where its image is: an address, or a file name below the image folder."""
    caption: str
    place: str


def read_url_pairs(path: Path) -> Iterator[Pair]:
    """Pairs of a tsv of captions and addresses; CC3M has captions first, CC12M addresses."""
    for number, line in stream_lines(path, 'a tsv of captions and addresses', path.name):
        if not line.strip():
            continue
        columns = [_clean(column) for column in line.split('\t')]
        if len(columns) != 2:
            raise UserError('a caption and an address with one tab between',
                            f'{path}:{number}: {len(columns)} columns', 'repair the line')
        caption, url = columns
        if _is_address(caption) and not _is_address(url):
            caption, url = url, caption
        yield Pair(caption, url)


def read_file_pairs(path: Path) -> Iterator[Pair]:
    """Pairs of a jsonl, or of a tsv of file names and captions."""
    if path.suffix == '.jsonl':
        for number, line in read_objects(path, 'a jsonl of captions'):
            name, caption = line.get('filename'), line.get('caption')
            if not isinstance(name, str) or not isinstance(caption, str):
                raise UserError("a jsonl with 'filename' and 'caption' per line",
                                f'{path}:{number}', 'add them')
            yield Pair(_clean(caption), name)
        return
    for number, line in stream_lines(path, 'a tsv of file names and captions', path.name):
        name, tab, caption = line.partition('\t')
        if line.strip() and not tab:
            raise UserError('a file name and a caption with a tab between', f'{path}:{number}',
                            'repair the line')
        if line.strip():
            yield Pair(_clean(caption), name)


def read_folder_pairs(folder: Path) -> Iterator[Pair]:
    """Images with a .txt of the same name, at any depth; without one the caption is empty."""
    for path in sorted(folder.rglob('*')):
        if not is_image_file(path):
            continue
        text = path.with_suffix('.txt')
        # Not UTF-8 is kept as signs that say so, not a reason to stop after a day of reading.
        caption = text.read_text(encoding='utf-8-sig', errors='replace') if text.is_file() else ''
        yield Pair(_clean(caption), path.relative_to(folder).as_posix())


def read_objects(path: Path, what: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of a jsonl; blank lines are passed over."""
    for number, line in stream_lines(path, what):
        if line.strip():
            yield number, parse_object(line.encode(), f'{path}:{number}', what)


def _clean(text: str) -> str:
    """Blanks made single, and halves of characters, which no UTF-8 can hold, made '?'."""
    return ' '.join(text.encode(errors='replace').decode().split())


def _is_address(text: str) -> bool:
    return text.startswith(('http://', 'https://'))
