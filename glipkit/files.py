"""Result files and folders that appear complete or not at all."""
from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glipkit.errors import UserError

#: Ending of the names of unfinished files and folders: ``.<name>.xxxxxxxx.part``.
UNFINISHED = '.part'
_RANDOM = '[a-z0-9_]{8}'
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends without an error.

    A reader sees the old file or the complete new one; a failed block leaves no trace.
    Where a process is killed inside the block, the temporary file stays, and :func:`unfinished`
    finds it.

    Raises:
        UserError: Nothing can be written there, or the disk is full.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.',
                                        suffix=UNFINISHED)
    except OSError as error:
        raise UserError('a folder that can be written to', f'{path.parent} ({error.strerror})',
                        'pass another place') from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; the finished one gets the process's usual permissions.
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        # Any other error comes from the work inside the block.
        if error.errno not in _FULL_DISK:
            raise
        raise UserError('a place to write to', f'{path} ({error.strerror})',
                        'free some space, or choose another place') from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside ``path`` that replaces it when the block ends without an error.

    An older folder there is removed first. Otherwise it works like :func:`atomic`.

    Raises:
        UserError: Nothing can be written there.
    """
    path = Path(path)
    make_folder(path.parent)
    try:
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f'.{path.name}.',
                                          suffix=UNFINISHED))
    except OSError as error:
        raise UserError('a folder that can be written to', f'{path.parent} ({error.strerror})',
                        'pass another place') from error
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file atomically, in UTF-8; makes its folder where there is none.

    Raises:
        UserError: Nothing can be written there.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError('a file name', f'the folder {path}', 'add a name to it')
    make_folder(path.parent)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def copy_file(source: str | Path, target: str | Path) -> None:
    """Copies a file atomically.

    Raises:
        UserError: Nothing can be written at the target.
    """
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)


def make_folder(path: str | Path) -> None:
    """Makes a folder and those above it, where they do not exist yet.

    Raises:
        UserError: It cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError('a folder that can be made', f'{path} ({error.strerror})',
                        'pass another place') from error


def is_unfinished(path: Path, name: str | None = None) -> bool:
    """Whether a file or folder is one that :func:`atomic` or :func:`atomic_folder` began.

    Args:
        path: The file or folder.
        name: Name of the finished file or folder; None for any. With a name, files of glipkit 0.1.0
            count too, whose names end without ``.part``.
    """
    wanted = '.+' if name is None else re.escape(name)
    ending = re.escape(UNFINISHED) + ('' if name is None else '|')
    return re.fullmatch(rf'\.{wanted}\.{_RANDOM}({ending})', path.name) is not None


def remove_unfinished(folder: Path, name: str | None = None) -> None:
    """Removes what killed processes left unfinished; only where no other process is at work.

    Args:
        folder: Folder to clean.
        name: Name of the finished file, directly in the folder; None removes all unfinished ones,
            also in the folders below.
    """
    if not folder.is_dir():
        return
    found = folder.rglob(f'.*{UNFINISHED}') if name is None else folder.iterdir()
    for path in list(found):
        if is_unfinished(path, name):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
