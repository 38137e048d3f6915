"""Result files that are there whole or not at all."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glipkit.errors import UserError


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well.

    A reader sees the old file or the whole new one, never a part; a failed block leaves no trace.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
    except OSError as error:
        raise UserError('a folder that can be written to', f'{path.parent} ({error.strerror})',
                        'pass another place') from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp's files are private; the finished one gets what the process would give any file.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file atomically, in UTF-8; makes its folder where there is none.

    Raises:
        UserError: When nothing can be written there.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError('a file name', f'the folder {path}', 'add a name to it')
    make_folder(path.parent)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def make_folder(path: str | Path) -> None:
    """Makes a folder and those above it, where they are not there yet.

    Raises:
        UserError: When it cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError('a folder that can be made', f'{path} ({error.strerror})',
                        'pass another place') from error
