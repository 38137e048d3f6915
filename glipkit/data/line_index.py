"""Files too large for memory, read by the row: an index of offsets beside them, made once."""
from __future__ import annotations

import hashlib
import json
import os
from abc import abstractmethod
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from glipkit.common.reporter import Bar, bar
from glipkit.errors import UserError
from glipkit.files import atomic, make_folder

_VERSION = 1
_STAMP_ROWS = 2  # (version, size) and (mtime in ns, checksum) stand before the rows
_ENDS = 1 << 16  # bytes at either end that the checksum covers
_LONG = 1 << 28  # bytes from which building shows a bar
_SMALL = 20 << 20  # bytes up to which an index is built faster than it would be found

Build = Callable[[Path], np.ndarray]


def open_index(path: str | Path, kind: str, build: Build, trust: bool = False) -> np.ndarray:
    """The index of a file, memory-mapped; built where there is none that belongs to the file.

    It is kept as ``<file>.<kind>.npy`` beside the file, or in the user's cache folder where that
    one cannot be written, or in memory alone (always for files up to 20 MiB). An index belongs to
    a file when size and time of change agree, and a checksum of its first and last 64 KiB. It is
    written to another name and moved into place, so that processes that build at the same time
    always find whole indexes.

    Args:
        path: The file.
        kind: Name of the index; one file may have several.
        build: Path -> (N, C) int64 rows.
        trust: Whether to compare size and time alone, for a file that this process has checked.

    Returns:
        (N, C) int64, read-only.

    Raises:
        UserError: The file cannot be read, or changes while it is.
    """
    path = Path(path)
    stamp = _stamp(path, trust)
    kept = stamp[0, 1] > _SMALL
    for place in _places(path, kind) if kept else ():
        rows = _load(place, stamp, trust)
        if rows is not None:
            return rows
    stamp = _stamp(path)
    rows = np.ascontiguousarray(build(path), dtype=np.int64)
    if not np.array_equal(_stamp(path), stamp):
        raise UserError('a file that stays as it is', f'{path}, which changed while it was read',
                        'wait until it is complete')
    head = np.zeros((_STAMP_ROWS, rows.shape[1]), dtype=np.int64)
    head[:, :2] = stamp
    for place in _places(path, kind) if kept else ():
        if _save(place, np.concatenate([head, rows])):
            saved = _load(place, stamp)
            if saved is not None:
                return saved
    rows.flags.writeable = False
    return rows


def _stamp(path: Path, trust: bool = False) -> np.ndarray:
    """(2, 2) int64: version, size, time of change, checksum (0 where trusted)."""
    try:
        status = path.stat()
        checksum = 0 if trust else _checksum(path, status.st_size)
    except OSError as error:
        raise UserError('a file that can be read', f'{path}: {error.strerror}',
                        'check the path (data_root, ann_file)') from error
    return np.array([[_VERSION, status.st_size], [status.st_mtime_ns, checksum]], dtype=np.int64)


def _checksum(path: Path, size: int) -> int:
    digest = hashlib.blake2b(digest_size=8)
    with path.open('rb') as file:
        digest.update(file.read(_ENDS))
        file.seek(max(size - _ENDS, 0))
        digest.update(file.read(_ENDS))
    return int.from_bytes(digest.digest(), 'little', signed=True)


def _places(path: Path, kind: str) -> list[Path]:
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'glipkit' / 'indexes'
    name = hashlib.blake2b(os.fsencode(path.resolve()), digest_size=12).hexdigest()
    return [path.with_name(f'{path.name}.{kind}.npy'), cache / f'{name}.{kind}.npy']


def _load(place: Path, stamp: np.ndarray, trust: bool = False) -> np.ndarray | None:
    """Rows of an index file; None where there is none, a damaged one, or that of another file."""
    try:
        whole = np.load(place, mmap_mode='r', allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if whole.dtype != np.int64 or whole.ndim != 2 or min(whole.shape) < 2:
        return None
    same = whole[:_STAMP_ROWS, :2] == stamp
    if trust:
        same[1, 1] = True
    return whole[_STAMP_ROWS:] if same.all() else None


def _save(place: Path, whole: np.ndarray) -> bool:
    """Writes an index file atomically; False where that is not possible."""
    try:
        make_folder(place.parent)
        with atomic(place) as temporary, temporary.open('wb') as file:
            np.save(file, whole)
    except (OSError, UserError):  # a read-only or a full disk; the index is a help, no result
        return False
    return True


def read_slice(path: str | Path, begin: int, end: int) -> bytes:
    """Bytes ``begin`` to ``end`` of a file.

    Opened anew every time: nothing is shared with worker processes, whatever started them.

    Raises:
        UserError: The file cannot be read, or ends before.
    """
    try:
        with open(path, 'rb', buffering=0) as file:
            file.seek(begin)
            content = file.read(end - begin)
    except OSError as error:
        raise UserError('a file that can be read', f'{path}: {error.strerror}',
                        'restore the file') from error
    if len(content) != end - begin:
        raise UserError(f'{end} bytes or more in {path}', f'{begin + len(content)}',
                        'copy the file again; it was longer when it was opened')
    return content


def find_lines(path: Path) -> np.ndarray:
    """(N + 1, 2) int64: offset and number (from 1) of each line that is not blank, then the end."""
    offsets, numbers = array('q'), array('q')
    position = number = 0
    size = path.stat().st_size
    shown = bar(f'indexing {path.name}', size, 'B', scale=True) if size >= _LONG else Bar()
    with path.open('rb') as file, shown:
        for number, line in enumerate(file, start=1):
            if not line.isspace():
                offsets.append(position)
                numbers.append(number)
            position += len(line)
            if not number & 0xffff:
                shown.update(position - shown.done)
    offsets.append(position)
    numbers.append(number + 1)
    return np.stack([np.frombuffer(column, dtype=np.int64) for column in (offsets, numbers)], 1)


class IndexedFile(Sequence):
    """Entries of a file that stay on disk; an index says where. Instances can be pickled.

    Args:
        path: The file.
        what: Its kind, for errors.
        trust: Whether to skip the checksum, see `open_index`.
    """
    #: Name of the index, as `open_index` takes it.
    kind: ClassVar[str]

    def __init__(self, path: str | Path, what: str, trust: bool = False) -> None:
        self.path, self.what = str(path), what
        self._index = open_index(path, self.kind, self.find, trust)

    def __reduce__(self) -> tuple:
        # The index stays on disk. A worker need not read the file's ends again.
        return type(self), (self.path, self.what, True)

    @staticmethod
    @abstractmethod
    def find(path: Path) -> np.ndarray:
        """(N, C) int64 rows of the index."""


class JsonLines(IndexedFile):
    """A file with one JSON object per line, parsed at access. Blank lines do not count.

    Memory and opening time do not depend on the size of the file. Instances can be pickled, and
    used in forked workers.

    Args:
        path: The file.
        what: Its kind, for errors: 'an ODVG jsonl file'.
        trust: Whether to skip the checksum, see `open_index`.

    Raises:
        UserError: The file cannot be read; at access: a line is not a JSON object. Names file
            and line.
    """

    kind = 'lines'

    @staticmethod
    def find(path: Path) -> np.ndarray:
        """As :func:`find_lines`."""
        return find_lines(path)

    def __len__(self) -> int:
        return len(self._index) - 1

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return int(self._index[-1, 0])

    def number(self, index: int) -> int:
        """Number of an entry's line, from 1."""
        return int(self._index[self._checked(index), 1])

    def where(self, index: int) -> str:
        """File and line of an entry, for errors."""
        return f'{self.path}:{self.number(index)}'

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Object on entry ``index``."""
        index = self._checked(index)
        begin, end = self._index[index:index + 2, 0].tolist()
        return parse_object(read_slice(self.path, begin, end), self.where(index), self.what)

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f'{index} is not among {len(self)} lines of {self.path}')
        return index


def parse_object(text: bytes, where: str, what: str) -> dict[str, Any]:
    """One JSON object in UTF-8, with or without a byte order mark.

    Raises:
        UserError: Anything else; names ``where`` and ``what``.
    """
    try:
        value = json.loads(text.decode('utf-8-sig'))
    except UnicodeDecodeError as error:
        raise UserError(f'{what} in UTF-8', f'{where}: {error}',
                        'save the file as UTF-8') from error
    except (ValueError, RecursionError) as error:
        raise UserError(f'{what}: a JSON object per line', f'{where}: {error}',
                        'repair or remove the line') from error
    if not isinstance(value, dict):
        raise UserError(f'{what}: a JSON object per line', f'{where}: {type(value).__name__}',
                        'repair the line')
    return value
