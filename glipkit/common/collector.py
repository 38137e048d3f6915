"""Imports without the garbage collector."""
from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Nothing is searched for garbage inside the block; only for imports, which leave none.

    Each search visits everything that torch and mmdet have loaded so far, and their imports make
    enough objects for dozens: a fifth of the time they take.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
