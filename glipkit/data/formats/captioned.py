"""Image-caption pairs without boxes, as self-training reads them."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glipkit.common.image_files import is_image_file
from glipkit.data.formats.tar_shards import FileSlice, TarShard
from glipkit.data.line_index import JsonLines
from glipkit.errors import UserError

_LINE = 'an image with a caption'


@dataclass(frozen=True)
class Captioned:
    """One image with its captions.

    Args:
        key: Its name, for reports: file and line, or file and member.
        filename: File name of the image, as the source gives it.
        captions: Texts, at least one where the record is whole; '' where the caption is missing.
        image: Path of the image, or where its bytes are.
    """

    key: str
    filename: str
    captions: tuple[str, ...]
    image: Path | FileSlice


class CaptionedShard(Sequence):
    """Image-caption pairs of one file or folder, read at access. Can be pickled.

    Args:
        path: A jsonl file with ``filename`` and ``caption`` (or ``captions``, a list) on each line,
            a WebDataset tar with ``key.jpg`` and ``key.json`` (the same keys, ``filename`` aside),
            or a folder of images, each with its caption in a ``.txt`` of the same name.
        images: Folder that a jsonl's file names are relative to; default its own.

    Raises:
        UserError: Nothing of this kind is there.
    """

    def __init__(self, path: str | Path, images: str | Path | None = None) -> None:
        self.path = Path(path)
        self.images = Path(images) if images else self.path.parent
        self.kind = _kind(self.path)
        self._records: Any
        if self.kind == 'jsonl':
            self._records = JsonLines(path, _LINE)
        elif self.kind == 'tar':
            self._records = TarShard(path, _LINE)
        else:
            self._records = sorted(p.name for p in self.path.iterdir()
                                   if is_image_file(p))

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Captioned:
        """Pair ``index``.

        Raises:
            UserError: The record is damaged.
        """
        if self.kind == 'folder':
            return self._from_folder(self._records[index])
        record = self._records[index]
        where = self._records.where(index)
        captions = read_captions(record, where)
        if self.kind == 'tar':
            name, place = self._records.image(index)
            return Captioned(where, name.rpartition('/')[2], captions, place)
        filename = record.get('filename')
        if not isinstance(filename, str) or not filename:
            raise UserError(f'{_LINE}: a filename', f'{where}: {filename!r}', 'add the file name')
        return Captioned(where, filename, captions, self._inside(filename, where))

    def _inside(self, filename: str, where: str) -> Path:
        """The path of an image, which its record may not lead out of the folder."""
        folder, path = (os.path.abspath(place) for place in (self.images, self.images / filename))
        if os.path.commonpath([folder, path]) != folder or path == folder:
            raise UserError(f'{_LINE}: the name of a file in {self.images}',
                            f'{where}: {filename!r}, which leads out of it',
                            'pass --images with the folder that holds all images')
        return self.images / filename

    def _from_folder(self, name: str) -> Captioned:
        path = self.path / name
        text = path.with_suffix('.txt')
        try:
            caption = text.read_text(encoding='utf-8-sig').strip() if text.is_file() else ''
        except (OSError, UnicodeDecodeError) as error:
            raise UserError('a caption in UTF-8', f'{text}: {error}', 'save it again') from error
        return Captioned(str(path), name, (caption,), path)


def open_captioned(paths: Sequence[str | Path],
                   images: str | Path | None = None) -> list[CaptionedShard]:
    """The shards of an argument list: files, folders of shards, folders of images.

    Raises:
        UserError: A path is none of these, or two shards have one name.
    """
    shards = [CaptionedShard(part, images) for path in paths for part in _parts(Path(path))]
    names = [shard.path.stem for shard in shards]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError('shards with different names', f'{twice[0]} more than once',
                        'rename one; results are named after their shard')
    return shards


def _parts(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix in ('.jsonl', '.tar'))
    return found or [path]


def _kind(path: Path) -> str:
    if path.is_dir():
        if any(is_image_file(p) for p in path.iterdir()):
            return 'folder'
    elif path.is_file() and path.suffix in ('.jsonl', '.tar'):
        return path.suffix[1:]
    got = 'neither' if path.exists() else 'nothing there'
    raise UserError('a .jsonl or .tar of image-caption pairs, or a folder of images and .txt files',
                    f'{path}: {got}', 'check the path')


def read_captions(record: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The captions of a record: ``captions``, ``caption``, or that of its ``grounding``.

    Args:
        record: The record, of any of these forms; without a caption it gives ''.
        where: Its place, for errors.

    Raises:
        UserError: They are no texts.
    """
    value = record.get('captions', record.get('caption'))
    if isinstance(value, dict):  # a pseudo-label line that is labelled anew
        value = value.get('caption')
    texts = [value] if isinstance(value, str) else value
    if value is None:
        texts = [record.get('grounding', {}).get('caption', '')] if isinstance(
            record.get('grounding', {}), dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UserError(f'{_LINE}: a caption as a string', f'{where}: {str(value)[:60]!r}',
                        'repair the record')
    return tuple(texts)
