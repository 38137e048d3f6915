"""Tables of tab-separated rows, read by the row with the help of a lineidx file."""
from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import NamedTuple

import numpy as np

from glipkit.data.line_index import find_lines, open_index, read_slice
from glipkit.errors import UserError

_PROBED = 16


class TsvTable:
    """A tsv file, row by row.

    Offsets of rows are those of the ``.lineidx`` file beside it (one number per line), as the
    public sets have it; where there is none, an index is built and kept;
    `glipkit.data.line_index.open_index` describes where. Instances can be pickled.

    Args:
        path: The tsv file; ``train.label.tsv`` has ``train.label.lineidx``.
        what: Its kind, for errors.

    Raises:
        UserError: The file cannot be read, has blank lines, or its lineidx does not fit it.
    """

    def __init__(self, path: str | Path, what: str) -> None:
        self.path, self.what = str(path), what
        lineidx = Path(path).with_suffix('.lineidx')
        if lineidx.is_file():
            self._bounds = _read_lineidx(lineidx, Path(path))
            for row in np.linspace(0, len(self) - 1, min(_PROBED, len(self)), dtype=int).tolist():
                self.row(row)
        else:
            lines = open_index(path, 'lines', find_lines)
            if lines[-1, 1] != len(lines):
                raise UserError(f'{what} without blank lines',
                                f'{path} with {lines[-1, 1] - len(lines)}', 'remove them')
            self._bounds = lines[:, 0]

    def __reduce__(self) -> tuple:
        return type(self), (self.path, self.what)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return int(self._bounds[-1])

    def where(self, row: int) -> str:
        """File and line of a row, for errors."""
        return f'{self.path}:{row + 1}'

    def row(self, row: int) -> list[bytes]:
        """Columns of a row.

        Raises:
            UserError: The lineidx does not point to a line.
        """
        return self.slice(row).columns()

    def slice(self, row: int) -> RowSlice:
        """Where a row is."""
        begin, end = self._bounds[row:row + 2].tolist()
        return RowSlice(self.path, row, begin, end, end == self.num_bytes)


class RowSlice(NamedTuple):
    """Place of one row of a table: bytes ``begin`` to ``end``, and whether it is the last."""

    path: str
    row: int
    begin: int
    end: int
    is_last: bool

    @property
    def where(self) -> str:
        """File and line, for errors."""
        return f'{self.path}:{self.row + 1}'

    def columns(self) -> list[bytes]:
        """Columns of the row.

        Raises:
            UserError: The bytes are no line: they came from another file's lineidx.
        """
        before = int(self.begin > 0)
        text = read_slice(self.path, self.begin - before, self.end)
        line = text[before:].rstrip(b'\r\n')
        closed = text.endswith(b'\n') or self.is_last
        if text[:before].strip(b'\n') or b'\n' in line or not closed:
            raise UserError(f'a lineidx that belongs to {self.path}',
                            f'one that points into the middle of a line at {self.where}',
                            'delete the .lineidx file; an index is then built')
        return line.split(b'\t')


class TsvImage(NamedTuple):
    """An image in a table of images: key in the first column, base64 in the last one."""

    place: RowSlice
    key: bytes

    def read(self) -> bytes:
        """The encoded image.

        Raises:
            UserError: Another key than expected, or no base64.
        """
        columns = self.place.columns()
        check_key(columns, self.key, self.place.where)
        try:
            return base64.b64decode(columns[-1], validate=True)
        except binascii.Error as error:
            raise UserError('an image in base64', f'{self.place.where}: {error}',
                            'repair the row') from error


def check_key(columns: list[bytes], key: bytes, where: str) -> None:
    """Refuses a row whose first column is not the key of the same row of the label table.

    Raises:
        UserError: It is another one; names ``where``.
    """
    if columns[0] != key:
        raise UserError(f'the row of {key.decode("utf-8", "replace")!r}, as in the label file',
                        f'{where}: that of {columns[0][:40].decode("utf-8", "replace")!r}',
                        'use files whose rows are in the same order')


def _read_lineidx(path: Path, table: Path) -> np.ndarray:
    """(N + 1,) int64 offsets of rows, then the size of the table."""
    expected, fix = f'a lineidx that belongs to {table}', 'delete it; an index is then built'
    try:
        size = table.stat().st_size
        offsets = np.array(path.read_bytes().split(), dtype=np.int64)
    except OSError as error:
        raise UserError('a detection tsv', f'{table}: {error.strerror}',
                        'check the path') from error
    except (ValueError, OverflowError) as error:
        raise UserError(expected, f'{path}: {error}', fix) from error
    bounds = np.append(offsets, size)
    if len(offsets) and bounds[0] != 0 or (np.diff(bounds) <= 0).any() or size and not len(offsets):
        raise UserError(expected, f'{path}: offsets that do not rise from 0 to {size}', fix)
    return bounds
