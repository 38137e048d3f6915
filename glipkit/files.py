"""Result files and folders that appear complete or not at all."""
from __future__ import annotations

import errno
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from glipkit.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

#: Ending of the names of unfinished files and folders: ``.<name>.xxxxxxxx.part``.
UNFINISHED = '.part'
_RANDOM = '[a-z0-9_]{8}'
_ADDRESS = re.compile(r'([a-z][a-z0-9+.-]+)://', re.IGNORECASE)
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: What a full or read-only disk answers. Reading gives none of these, so that they need not name
#: the file that was written.
NO_ROOM = (*_FULL_DISK, errno.EROFS)


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends without an error.

    A reader sees the old file or the whole new one, never a piece; a failed block leaves no trace.
    Where a process is killed inside the block, the temporary file stays, and
    :func:`remove_unfinished` finds it. Encoders that write by themselves (PIL's, those of
    matplotlib) do not notice every full disk: see :func:`write_encoded`.

    Raises:
        UserError: Nothing can be written there, or the disk is full.
    """
    path = Path(path)
    _refuse_dangling(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.',
                                        suffix=UNFINISHED)
    except OSError as error:
        raise cannot_write(path.parent, error) from error
    temporary = Path(name)
    try:
        with _at_work(handle):
            yield temporary
            # mkstemp's files are private; the finished one gets what the process would give any.
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
    except OSError as error:
        if not _of_writing(error, temporary, path):
            raise  # from what the block was reading
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):  # of a disk that has become read-only meanwhile
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside ``path`` that replaces it when the block ends without an error.

    An older folder there is removed first. Otherwise it works like :func:`atomic`.

    Raises:
        UserError: Nothing can be written there, or the disk is full.
    """
    path = Path(path)
    make_folder(path.parent)
    _refuse_dangling(path)
    try:
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f'.{path.name}.',
                                          suffix=UNFINISHED))
    except OSError as error:
        raise cannot_write(path.parent, error) from error
    try:
        with _at_work(None if fcntl is None else os.open(temporary, os.O_RDONLY)):
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.is_dir():
                shutil.rmtree(path)
            os.replace(temporary, path)
    except OSError as error:
        if not _of_writing(error, temporary, path):
            raise
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def cannot_write(path: str | Path, error: OSError) -> UserError:
    """The error for a place where nothing can be written.

    Args:
        path: The file, or the folder that it should lie in.
        error: What the system said.
    """
    if error.errno in _FULL_DISK:
        return UserError('a place to write to', f'{path} ({error.strerror})',
                         'free some space, or choose another place')
    return UserError('a place that can be written to', f'{path} ({error.strerror})',
                     'pass another place')


def no_room(error: BaseException | None) -> OSError | None:
    """The full or read-only disk behind an error, whatever a library made of it; None for none."""
    while error is not None:
        if isinstance(error, OSError) and (error.errno in NO_ROOM
                                           or 'usable temporary directory' in str(error)):
            return error
        error = error.__cause__ or error.__context__
    return None


def write_encoded(path: str | Path, encode: Callable[[BinaryIO], Any]) -> None:
    """Writes what an encoder gives, atomically.

    The encoder gets memory, and the system gets the whole: encoders of images do not notice where
    a disk takes a part of what they write, and leave a file that is cut off.

    Args:
        path: The file.
        encode: Writes to the binary file that it is called with, e.g.
            ``lambda file: image.save(file, 'PNG')``.

    Raises:
        UserError: Nothing can be written there, or the disk is full.
    """
    content = io.BytesIO()
    encode(content)
    with atomic(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file atomically, in UTF-8; makes its folder where there is none.

    What UTF-8 lacks, which is halves of surrogate pairs, is written as JSON writes it (\\udce9):
    Python has them for bytes of file names in another encoding, and one name must not cost a file.

    Raises:
        UserError: Nothing can be written there.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError('a file name', f'the folder {path}', 'add a name to it')
    make_folder(path.parent)
    with atomic(path) as temporary:
        temporary.write_bytes(text.encode(errors='backslashreplace'))


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
        _refuse_dangling(Path(path))
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError('a folder that can be made', f'{path} ({error.strerror})',
                        'pass another place') from error


def check_folder(path: str | Path) -> None:
    """Refuses a folder that cannot be made or written to, before hours of work; leaves no trace.

    Raises:
        UserError: Nothing can be written there.
    """
    path = Path(path)
    missing = [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]
    try:
        make_folder(path)
        try:
            handle, name = tempfile.mkstemp(dir=path, suffix=UNFINISHED)
        except OSError as error:
            raise cannot_write(path, error) from error
        os.close(handle)
        os.unlink(name)
    finally:
        with suppress(OSError):
            for folder in missing:
                folder.rmdir()


def check_file(path: str | Path) -> None:
    """Refuses a file that cannot be written, before hours of work; leaves no trace.

    Raises:
        UserError: It is a folder or a link to nothing, or nothing can be written beside it.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError('a file name', f'the folder {path}', 'add a name to it')
    _refuse_dangling(path)
    check_folder(path.parent)


def can_be_made(folder: str | Path) -> bool:
    """Whether a folder is there to be written to, or may be made; nothing is tried."""
    folder = Path(folder)
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def refuse_address(name: str | Path) -> None:
    """Refuses a web address where a file or folder is meant, unless there is a file of that name.

    Raises:
        UserError: With what to do instead.
    """
    found = _ADDRESS.match(str(name))
    if found is None or os.path.lexists(name):
        return
    scheme = found[1].lower()
    fix = {'file': 'pass the path alone', 'http': f'download it first, e.g. with curl -LO {name}'}
    raise UserError('a file or folder on this machine',
                    f'the address {name}, which glipkit does not fetch',
                    fix.get(scheme.removesuffix('s'), 'download it first'))


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
    """Removes what killed processes left unfinished, and not what another is at work on.

    Where the system has no locks on files (Windows), only where no other process is at work.

    Args:
        folder: Folder to clean.
        name: Name of the finished file, directly in the folder; None removes all unfinished ones,
            also in the folders below.
    """
    if not folder.is_dir():
        return
    found = folder.rglob(f'.*{UNFINISHED}') if name is None else folder.iterdir()
    for path in list(found):
        if is_unfinished(path, name) and not _in_use(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink(missing_ok=True)


def _of_writing(error: OSError, *paths: Path) -> bool:
    """Whether an error comes from writing to these paths."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2)
             if isinstance(name, (str, bytes, os.PathLike))]
    return error.errno in NO_ROOM or any(
        Path(name) == path or path in Path(name).parents for name in names for path in paths)


def _refuse_dangling(path: Path) -> None:
    """A link to nothing would be replaced without a word; whoever made it meant another place."""
    if os.path.islink(path) and not os.path.exists(path):
        raise UserError('a place to write to', f'{path}, a link to {os.readlink(path)}, which is '
                        'not there', 'remove the link, or make what it points to')


@contextmanager
def _at_work(handle: int | None) -> Iterator[None]:
    """Holds the lock of an open temporary file or folder, which ends with the process."""
    if fcntl is None:  # Windows replaces no open file
        if handle is not None:
            os.close(handle)
        yield
        return
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _in_use(path: Path) -> bool:
    if fcntl is None:
        return False
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
