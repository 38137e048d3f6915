"""The texts of captions without their images, as a stream."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from glipkit.data.formats.caption_rows import open_caption_rows
from glipkit.data.formats.captioned import read_captions
from glipkit.data.formats.reading import open_text, read_json
from glipkit.errors import UserError

SUFFIXES = ('.jsonl', '.tar', '.tsv', '.txt', '.json')


def caption_files(sources: Sequence[str | Path]) -> list[Path]:
    """The files of some sources: files, or all files of folders that captions may be in.

    Raises:
        UserError: There is nothing at a source, or nothing of this kind.
    """
    found: list[Path] = []
    for source in map(Path, sources):
        files = [source]
        if source.is_dir():
            files = sorted(path for path in source.iterdir() if path.suffix in SUFFIXES
                           and path.name != 'manifest.json')
        if not files or not all(path.is_file() and path.suffix in SUFFIXES for path in files):
            got = 'nothing there' if not source.exists() else 'neither'
            raise UserError(f'captions in {", ".join(SUFFIXES)}, or a folder of such files',
                            f'{source}: {got}', 'check the path')
        found += files
    return found


def caption_texts(path: str | Path) -> Iterator[str]:
    """All captions of a file, one after the other; empty ones are left out.

    Args:
        path: A ``.txt`` with a caption on each line, a COCO ``.json`` of captions, or what
            `ImageCaptions` reads: ``.jsonl``, ``.tar``, and the ``.tsv`` of captions.

    Raises:
        UserError: The file cannot be read or is damaged.
    """
    path = Path(path)
    texts = {'.txt': _lines, '.json': _coco}.get(path.suffix, _rows)(path)
    yield from (text for text in texts if text.strip())


def _lines(path: Path) -> Iterator[str]:
    with open_text(path, 'a text file of captions') as file:
        try:
            yield from map(str.strip, file)
        except UnicodeDecodeError as error:
            raise UserError('captions in UTF-8', f'{path}: {error}', 'save it again') from error


def _coco(path: Path) -> Iterator[str]:
    content = read_json(path, 'a COCO json of captions')
    records = content.get('annotations') if isinstance(content, dict) else None
    if not isinstance(records, list) or not all(
            isinstance(record, dict) and isinstance(record.get('caption'), str)
            for record in records):
        raise UserError("a COCO json whose annotations have a 'caption' each",
                        f'{path}: another structure', 'pass the file of the captions')
    for record in records:
        yield record['caption']


def _rows(path: Path) -> Iterator[str]:
    rows = open_caption_rows(path)
    for row in range(len(rows)):
        yield from read_captions(*rows.record(row))
