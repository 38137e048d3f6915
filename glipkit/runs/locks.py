"""Locks between processes, on Linux, macOS and Windows; a killed process loses its own."""
from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from glipkit.common.reporter import note
from glipkit.errors import UserError
from glipkit.files import make_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

#: Seconds between two attempts where the system cannot wait by itself.
PAUSE = 0.2
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)

#: A system's lock is of the whole process; these are between its threads.
_OWN: dict[str, threading.Lock] = {}


def _forget() -> None:
    _OWN.clear()


if hasattr(os, 'register_at_fork'):  # a forked process holds none of its parent's locks
    os.register_at_fork(after_in_child=_forget)


@contextmanager
def locked(path: str | Path, wait: bool = True) -> Iterator[bool]:
    """Holds the lock of a file inside the block, which no other process and thread can have then.

    The file is empty. It is made where there is none, and goes when nobody waits for it. The lock
    ends with the block, or with the process. It is not for the same thread twice.

    Args:
        path: The file.
        wait: Whether to wait for others; otherwise they are an error.

    Yields:
        Whether the lock is held; False where the file system knows no locks.

    Raises:
        UserError: Another process or thread holds it, or the file cannot be made.
    """
    path = Path(path)
    own = _OWN.setdefault(os.path.realpath(path), threading.Lock())
    if not own.acquire(blocking=wait):
        raise _in_use(path)
    try:
        # One open file at a time: the first of several to be closed would take the lock with it.
        file, held = _acquire(path, wait)
        try:
            yield held
        finally:
            _release(file, path, held)
    finally:
        own.release()


def _acquire(path: Path, wait: bool) -> tuple[BinaryIO, bool]:
    """The open file, and whether its lock is held."""
    while True:
        file = _open(path)
        try:
            held = _lock(file, path, wait)
            if not held or _is_current(file, path):
                return file, held
        except BaseException:
            file.close()
            raise
        file.close()  # the one that held it has removed it


def _is_current(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _release(file: BinaryIO, path: Path, held: bool) -> None:
    if held and fcntl is not None:
        path.unlink(missing_ok=True)
    if held:
        _unlock(file)
    file.close()
    if held and fcntl is None:  # Windows removes no open file, neither ours nor that of a waiter
        with suppress(OSError):
            path.unlink()


def _open(path: Path) -> BinaryIO:
    make_folder(path.parent)
    try:
        return path.open('a+b')
    except OSError as error:
        raise UserError('a folder that can be written to', f'{path.parent} ({error.strerror})',
                        'pass another place') from error


def _lock(file: BinaryIO, path: Path, wait: bool) -> bool:
    while True:
        try:
            if fcntl is None:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                # Not flock, whose locks are handed on to child processes and outlive a killed
                # parent.
                fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            return True
        except OSError as error:
            if error.errno in _NO_LOCKS:
                note(f'{path.parent}: its file system knows no locks; start one process only')
                return False
            if error.errno not in _BUSY:
                raise
            if not wait:
                raise _in_use(path) from error
        time.sleep(PAUSE)


def _unlock(file: BinaryIO) -> None:
    if fcntl is None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        fcntl.lockf(file, fcntl.LOCK_UN)


def _in_use(path: Path) -> UserError:
    return UserError('a folder that no other process is working in', str(path.parent),
                     'wait until that one has ended, or pass another --out')
