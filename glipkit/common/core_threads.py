"""Threads of one core each: independent pieces of work side by side, results in their order.

Small operators do not keep several cores busy, and threads that share one operator wait for each
other. Where there are several pieces of work, such as images or prompts, each on one core takes
less time together, and what it gives does not depend on how many run at a time.
"""
from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from glipkit.common.cores import CorePool, thread_state

Argument, Result = TypeVar('Argument'), TypeVar('Result')

WORKERS = CorePool()
"""Threads for work of seconds, which short pieces of other threads' work shall not wait for."""


def in_order(pool: ThreadPoolExecutor, work: Callable[[Argument], Result],
             arguments: Iterable[Argument], at_once: int) -> Iterator[Result]:
    """Results of ``work`` on each argument, in the order of the arguments.

    Args:
        pool: Threads that do it.
        work: Function of one argument; its error is raised where its result would be.
        arguments: Any number; taken in the calling thread, as they are needed.
        at_once: Largest number of arguments that are at work, or wait, and whose results have not
            been taken.
    """
    running: deque[Future[Result]] = deque()
    try:
        for argument in arguments:
            running.append(pool.submit(work, argument))
            if len(running) >= at_once:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for one in running:
            one.cancel()


def as_here(work: Callable[[Argument], Result]) -> Callable[[Argument], Result]:
    """``work`` for other threads, in the state of this one, see `thread_state`."""
    enter = thread_state()

    def there(argument: Argument) -> Result:
        with enter():
            return work(argument)

    return there


class Room:
    """Memory that pieces of work share: one that finds too little waits for others to end.

    Args:
        size: Bytes of all together. Work that alone needs more runs alone.
    """

    def __init__(self, size: float) -> None:
        self.size = size
        self._taken = 0.
        self._changed = threading.Condition()

    @contextmanager
    def of(self, size: float) -> Iterator[None]:
        """Holds ``size`` bytes for the block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + size <= self.size)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()
