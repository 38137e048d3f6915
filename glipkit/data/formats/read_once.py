"""Annotation files that several steps of one run need, parsed and checked once."""
from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

Value = TypeVar('Value')

_KNOWN: ContextVar[dict[tuple[str, str], tuple[Hashable, Any]] | None] = ContextVar(
    'glipkit_files_read', default=None)


@contextmanager
def files_read_once() -> Iterator[None]:
    """Inside the block a file is parsed and checked once, for as long as it stays as it is.

    What was read is kept in memory until the block ends, and is shared: nobody may change it. A
    block inside another one shares with it.
    """
    if _KNOWN.get() is not None:
        yield
        return
    token = _KNOWN.set({})
    try:
        yield
    finally:
        _KNOWN.reset(token)


def once(path: str | Path, kind: str, make: Callable[[], Value]) -> Value:
    """The result of ``make``; inside `files_read_once`, its former result for the same file.

    Args:
        path: The file, which belongs to the same content while its size and its time of change
            stay the same.
        kind: Name of the result; one file may have several.
        make: Function that reads the file.
    """
    known, stamp = _KNOWN.get(), _stamp(path)
    if known is None or stamp is None:
        return make()
    key = (os.path.realpath(path), kind)
    if key not in known or known[key][0] != stamp:
        known[key] = (stamp, make())
    return known[key][1]


def keep(path: str | Path, kind: str, value: Any) -> None:
    """Keeps what was read in another way, for later calls of `once`."""
    known, stamp = _KNOWN.get(), _stamp(path)
    if known is not None and stamp is not None:
        known[os.path.realpath(path), kind] = (stamp, value)


def _stamp(path: str | Path) -> Hashable | None:
    """What tells contents of a file apart; None where there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
