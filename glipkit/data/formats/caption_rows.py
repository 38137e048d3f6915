"""Rows of image-text pairs without boxes: shards of jsonl or tar, or a pair of tsv tables."""
from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

from glipkit.data import sample_keys as keys
from glipkit.data.formats.caption_shards import ShardList, find_shards, shard_image
from glipkit.data.formats.reading import open_text
from glipkit.data.formats.tsv_table import TsvImage, TsvTable
from glipkit.errors import UserError

WHAT = 'a set of image-text pairs'


class CaptionRows(Protocol):
    """Rows of image-text pairs, read at access."""

    num_bytes: int

    def __len__(self) -> int:
        ...

    def record(self, row: int) -> tuple[Mapping[str, Any], str]:
        """Record of a row, with the keys of `ImageCaptions`; and where it is, for errors."""

    def image(self, row: int, record: Mapping[str, Any],
              image_path: Callable[[str], str]) -> dict[str, Any]:
        """Where its image is, in the keys of a sample."""


class ShardRows:
    """Rows of jsonl and tar shards.

    Args:
        path: A folder of shards, its manifest, or one shard; see `find_shards`.
    """

    def __init__(self, path: str | Path) -> None:
        self._shards = ShardList(*find_shards(Path(path)))
        self.num_bytes = self._shards.num_bytes

    def __len__(self) -> int:
        return len(self._shards)

    def record(self, row: int) -> tuple[Mapping[str, Any], str]:
        """Record of a row, and where it is."""
        shard, i = self._shards.locate(row)
        return shard[i], shard.where(i)

    def image(self, row: int, record: Mapping[str, Any],
              image_path: Callable[[str], str]) -> dict[str, Any]:
        """Where its image is."""
        shard, i = self._shards.locate(row)
        return shard_image(shard, i, record, shard.where(i), image_path, WHAT)


class TsvPairRows:
    """Rows of text tables, and of image tables beside them.

    Row n of both holds the same key in the first column. A row of text has a JSON object (see
    `ImageCaptions`), a JSON list of captions, or the caption itself.

    Args:
        texts: A ``.tsv``, or a ``.txt`` that names some, one per line, relative to itself.
        images: The same for the images, in base64; None where only texts are asked for.

    Raises:
        UserError: A file is missing, or tables that belong together differ in rows.
    """

    def __init__(self, texts: str | Path, images: str | Path | None = None) -> None:
        self._texts = [TsvTable(path, 'a tsv of captions') for path in _tables(Path(texts))]
        self._images = None
        if images is not None:
            self._images = [TsvTable(path, 'a tsv of images') for path in _tables(Path(images))]
            if len(self._images) != len(self._texts):
                raise UserError(f'as many tables of images as of captions, {len(self._texts)}',
                                f'{len(self._images)} in {images}', 'name them in the same order')
            for text, image in zip(self._texts, self._images):
                if len(text) != len(image):
                    raise UserError(f'as many rows as {text.path}, {len(text)}',
                                    f'{len(image)} in {image.path}', 'use files of one set')
        self._ends = list(accumulate(map(len, self._texts)))
        self.num_bytes = sum(table.num_bytes for table in self._texts)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def record(self, row: int) -> tuple[Mapping[str, Any], str]:
        """Record of a row, and where it is."""
        table, row = self._locate(self._texts, row)
        columns, where = table.row(row), table.where(row)
        if len(columns) < 2:
            raise UserError('a tsv of captions with the columns key and text',
                            f'{where}: one column', 'check that this is the file of the captions')
        return _parse(b'\t'.join(columns[1:]), where), where

    def image(self, row: int, record: Mapping[str, Any],
              image_path: Callable[[str], str]) -> dict[str, Any]:
        """Where its image is; reading refuses one with another key."""
        table, i = self._locate(self._images or [], row)
        texts, _ = self._locate(self._texts, row)
        return {keys.IMG_PATH: table.where(i),
                keys.IMG_BYTES: TsvImage(table.slice(i), texts.row(i)[0])}

    def _locate(self, tables: list[TsvTable], row: int) -> tuple[TsvTable, int]:
        part = bisect_right(self._ends, row)
        return tables[part], row - (self._ends[part - 1] if part else 0)


def open_caption_rows(path: str | Path, images: str | Path | None = None) -> CaptionRows:
    """The rows of a source: a ``.tsv`` or a ``.txt`` that lists some, or shards.

    Args:
        path: The source.
        images: Tables of images, for tables of captions.

    Raises:
        UserError: Nothing of this kind is there.
    """
    if Path(path).suffix in ('.tsv', '.txt'):
        return TsvPairRows(path, images)
    return ShardRows(path)


def _tables(path: Path) -> list[Path]:
    if path.suffix != '.txt':
        return [path]
    with open_text(path, 'a list of tsv files') as file:
        try:
            names = [line.strip() for line in file if line.strip()]
        except UnicodeDecodeError as error:
            raise UserError('a list of tsv files', f'{path}: {error}', 'save it again') from error
    if not names:
        raise UserError('a list of tsv files, one per line', f'{path} without any', 'fill it in')
    return [path.parent / name for name in names]


def _parse(text: bytes, where: str) -> Mapping[str, Any]:
    try:
        plain = text.decode('utf-8')
    except UnicodeDecodeError as error:
        raise UserError('captions in UTF-8', f'{where}: {error}', 'repair the row') from error
    try:
        value = json.loads(plain)
    except (ValueError, RecursionError):
        value = plain
    if isinstance(value, dict):
        return value
    return {'captions': value if isinstance(value, list) else [plain.strip()]}
