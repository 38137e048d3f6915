"""Tensors that depend on sizes and a device alone: made once and kept until they are forgotten."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any, TypeVar

Function = TypeVar('Function', bound=Callable[..., Any])

_CLEARING: list[Callable[[], None]] = []
_USED = threading.local()


def remembered(most: int) -> Callable[[Function], Function]:
    """Decorator of a function that makes a table of hashable arguments.

    Args:
        most: Largest number of tables to keep; the one used least recently is dropped first.
    """
    def wrap(function: Function) -> Function:
        cached = lru_cache(maxsize=most)(function)
        _CLEARING.append(cached.cache_clear)

        @wraps(function)
        def call(*arguments: Any) -> Any:
            found = cached(*arguments)
            if (used := getattr(_USED, 'tables', None)) is not None:
                used.append(found)
            return found

        return call

    return wrap


@contextmanager
def used_tables() -> Iterator[list[Any]]:
    """All tables that this thread asks for inside the block.

    Who goes on reading their memory, as a recording on a GPU does, keeps them alive by this list.
    """
    tables: list[Any] = []
    _USED.tables = tables
    try:
        yield tables
    finally:
        _USED.tables = None


def forget_tables() -> None:
    """Forgets all tables."""
    for clear in _CLEARING:
        clear()
