"""What long work tells the person who waits: notes and progress, through one reporter.

The library prints nothing by itself. It tells the current reporter, which is silent unless a
command, a notebook or a test has put another one in its place::

    with reporting(ConsoleReporter()):
        tune(settings)

Inside, :func:`note` shows one line, and :func:`track` or :func:`bar` show how far the work is. The
current reporter belongs to a context (:mod:`contextvars`): a thread begins with the silent one.
"""
from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

Item = TypeVar('Item')
#: Seconds between two lines of progress where the output is a file or a pipe.
LINE_INTERVAL = 30.


class Bar:
    """Progress of one piece of work; this one is silent.

    Attributes:
        done: Units that are done.
    """

    def __init__(self, done: int = 0) -> None:
        self.done = done

    def update(self, units: int = 1) -> None:
        """Adds units that have just been done."""
        self.done += units

    def show(self, **values: Any) -> None:
        """Shows values beside the bar, e.g. ``loss='0.31'``."""

    def close(self) -> None:
        """Ends the bar."""

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Reporter:
    """Takes notes and makes bars; this one is silent."""

    def note(self, text: str) -> None:
        """Shows one line."""

    def bar(self, title: str, total: int | None = None, unit: str = 'item', done: int = 0,
            scale: bool = False) -> Bar:
        """A bar for one piece of work.

        Args:
            title: What is being done.
            total: Units of the whole work; None where it is not known.
            unit: Name of one unit.
            done: Units that an earlier start has done.
            scale: Whether to write numbers with k, M and G.
        """
        return Bar(done)


class ConsoleReporter(Reporter):
    """Notes on standard output; bars on standard error, as lines where that is no terminal.

    Args:
        notes: Stream for the notes; None takes standard output.
    """

    def __init__(self, notes: TextIO | None = None) -> None:
        self._notes = notes

    def note(self, text: str) -> None:
        """Prints the line at once."""
        print(text, file=self._notes, flush=True)  # noqa: T201

    def bar(self, title: str, total: int | None = None, unit: str = 'item', done: int = 0,
            scale: bool = False) -> Bar:
        """A tqdm bar on a terminal, otherwise a line every half minute."""
        if sys.stderr is not None and sys.stderr.isatty():
            return _TerminalBar(title, total, unit, done, scale)
        return _LineBar(title, total, unit, done, scale, sys.stderr)


class _TerminalBar(Bar):

    def __init__(self, title: str, total: int | None, unit: str, done: int, scale: bool) -> None:
        super().__init__(done)
        self._bar = tqdm(desc=title, total=total, unit=unit if scale else f' {unit}', initial=done,
                         unit_scale=scale, leave=False, file=sys.stderr)

    def update(self, units: int = 1) -> None:
        super().update(units)
        self._bar.update(units)

    def show(self, **values: Any) -> None:
        self._bar.set_postfix(**values, refresh=False)

    def close(self) -> None:
        self._bar.close()


class _LineBar(Bar):
    """Progress as lines for files and pipes; work that ends soon gets none."""

    def __init__(self, title: str, total: int | None, unit: str, done: int, scale: bool,
                 stream: TextIO | None) -> None:
        super().__init__(done)
        self._title, self._total, self._unit, self._stream = title, total, unit, stream
        self._number = tqdm.format_sizeof if scale else str
        self._values: dict[str, Any] = {}
        self._last_line = time.monotonic()

    def update(self, units: int = 1) -> None:
        super().update(units)
        if time.monotonic() - self._last_line >= LINE_INTERVAL and self._stream is not None:
            self._last_line = time.monotonic()
            whole = '' if self._total is None else f' of {self._number(self._total)}'
            values = ''.join(f', {name} {value}' for name, value in self._values.items())
            print(f'{self._title}: {self._number(self.done)}{whole} '  # noqa: T201
                  f'{self._unit}{values}', file=self._stream, flush=True)

    def show(self, **values: Any) -> None:
        self._values = values


_CURRENT: ContextVar[Reporter] = ContextVar('glipkit_reporter', default=Reporter())  # noqa: B039


@contextmanager
def reporting(reporter: Reporter) -> Iterator[Reporter]:
    """Makes a reporter the current one inside the block."""
    token = _CURRENT.set(reporter)
    try:
        yield reporter
    finally:
        _CURRENT.reset(token)


def is_silent() -> bool:
    """Whether nobody has asked for notes and bars."""
    return type(_CURRENT.get()) is Reporter


def note(text: str) -> None:
    """Shows one line through the current reporter."""
    _CURRENT.get().note(text)


def bar(title: str, total: int | None = None, unit: str = 'item', done: int = 0,
        scale: bool = False) -> Bar:
    """A bar of the current reporter; for the arguments see :meth:`Reporter.bar`."""
    return _CURRENT.get().bar(title, total, unit, done, scale)


def track(items: Iterable[Item], title: str, total: int | None = None,
          unit: str = 'item') -> Iterator[Item]:
    """The items, while the current reporter shows how many have been taken.

    Args:
        items: Any iterable.
        title: What is being done with them.
        total: Their number; None asks ``len(items)`` where there is one.
        unit: Name of one item.
    """
    if total is None and hasattr(items, '__len__'):
        total = len(items)
    with bar(title, total, unit) as shown:
        for item in items:
            yield item
            shown.update()
