"""WebDataset tar files, read in place: an index of where the members lie, no extraction."""
from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.data.line_index import IndexedFile, parse_object, read_slice
from glipkit.errors import UserError

IMAGE_ENDINGS = {'jpg', 'jpeg', 'png', 'webp'}

DOTTED = 'keys of samples end at the first dot of the name, so names must have only one'

_BLOCK = 512
_FIELDS = 6  # per sample: begin and end of image, of json, and of the image member's header


@dataclass(frozen=True)
class FileSlice:
    """Bytes inside a larger file, read when they are asked for."""

    path: str
    begin: int
    end: int

    def read(self) -> bytes:
        """The bytes.

        Raises:
            UserError: The file cannot be read, or has become shorter.
        """
        return read_slice(self.path, self.begin, self.end)


class TarShard(IndexedFile):
    """An uncompressed tar with ``key.jpg`` (or png, webp) and ``key.json`` for every sample.

    Samples are in the order of their first members; members with other endings are passed over.
    `glipkit.data.line_index.open_index` describes where the index is kept. Instances can be
    pickled.

    Args:
        path: The file.
        what: Its kind, for errors.
        trust: Whether to skip the checksum, see `open_index`.

    Raises:
        UserError: No tar, one that is cut off, or a sample with half of its members.
    """

    kind = 'members'

    @staticmethod
    def find(path: Path) -> np.ndarray:
        """As :func:`find_samples`."""
        return find_samples(path)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def num_bytes(self) -> int:
        """Size of all annotations."""
        return int((self._index[:, 3] - self._index[:, 2]).sum())

    def number(self, index: int) -> int:
        """Number of a sample, from 1."""
        return index + 1

    def where(self, index: int) -> str:
        """File and json member of a sample, for errors."""
        return f'{self.path}/{self._key(index)}.json'

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Content of the json member of a sample."""
        begin, end = self._index[index, 2:4].tolist()
        return parse_object(read_slice(self.path, begin, end), self.where(index), self.what)

    def image(self, index: int) -> tuple[str, FileSlice]:
        """Name of a sample's image, for messages, and where its bytes are."""
        begin, end = self._index[index, :2].tolist()
        return f'{self.path}/{self._image_member(index).name}', FileSlice(self.path, begin, end)

    def _key(self, index: int) -> str:
        return split_name(self._image_member(index).name)[0]

    def _image_member(self, index: int) -> tarfile.TarInfo:
        # Names are not indexed: they would be most of the index. They stand in the headers, which
        # are one block, or several for long names and those outside ASCII.
        begin, end = self._index[index, 4:6].tolist()
        header = read_slice(self.path, begin, end)
        with tarfile.open(fileobj=io.BytesIO(header), mode='r:') as tar:
            return tar.firstmember


def find_samples(path: Path) -> np.ndarray:
    """(N, 6) int64 rows of a tar: begin and end of image, json and image header.

    Raises:
        UserError: As `TarShard`.
    """
    samples: dict[str, dict[str, tuple[int, int, int, int]]] = {}
    dotted: dict[str, str] = {}
    try:
        with tarfile.open(path, 'r:') as tar:
            for member in tar:
                key, ending = split_name(member.name)
                kind = 'image' if ending in IMAGE_ENDINGS else ending
                if not member.isfile() or kind not in ('image', 'json'):
                    if is_dotted(ending):
                        dotted.setdefault(key, member.name)
                    continue
                if kind in samples.setdefault(key, {}):
                    raise _damaged(path, f'a second {kind} for {key}')
                samples[key][kind] = (member.offset_data, member.offset_data + member.size,
                                      member.offset, member.offset_data)
                # The list of all members, which tarfile keeps, would grow with the file.
                tar.members = []
            end = tar.offset
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise _damaged(path, f'it is no tar or cut off: {error}') from error
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    # A tar ends with blocks of zeros; tarfile takes one that ends anywhere between members.
    whole = path.stat().st_size >= end + _BLOCK
    if not whole or read_slice(path, end, end + _BLOCK).strip(b'\0'):
        raise _damaged(path, 'it is cut off: its end marker is missing')
    for key, name in dotted.items():
        if key not in samples:
            raise _damaged(path, f'{name}, whose key {key} has no {key}.json: {DOTTED}')
    rows = []
    for key, members in samples.items():
        if len(members) < 2:
            raise _damaged(path, f'{key} has no {"json" if "image" in members else "image"}')
        rows.append([*members['image'][:2], *members['json'][:2], *members['image'][2:]])
    return np.array(rows, dtype=np.int64).reshape(-1, _FIELDS)


def split_name(name: str) -> tuple[str, str]:
    """Key and ending: the ending begins at the first dot of the file name (WebDataset's rule)."""
    folder, slash, base = name.rpartition('/')
    stem, _, ending = base.partition('.')
    return folder + slash + stem, ending.lower()


def is_dotted(ending: str) -> bool:
    """Whether an ending hides an image or a json behind further dots ('v2.jpg').

    Beside a whole sample such a member is another column ('seg.png'); alone it is a sample that
    would be passed over.
    """
    last = ending.rpartition('.')
    return bool(last[1]) and (last[2] in IMAGE_ENDINGS or last[2] == 'json')


def _damaged(path: str | Path, got: str) -> UserError:
    return UserError('a whole tar shard with an image and a json for every key', f'{path}: {got}',
                     'write the shard again, or remove it')
