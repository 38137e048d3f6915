"""Threads of one core each: independent pieces of work side by side, results in their order.

Small operators do not keep several cores busy, and threads that share one operator wait for each
other. Where there are several pieces of work, such as images or prompts, each on one core takes
less time together, and what it gives does not depend on how many run at a time.
"""
from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Argument, Result = TypeVar('Argument'), TypeVar('Result')

_LOCK = threading.Lock()
_POOLS: dict[tuple[int, int], ThreadPoolExecutor] = {}


def core_threads(count: int) -> ThreadPoolExecutor:
    """A pool of ``count`` threads in which PyTorch computes on one core each.

    It is made once per process and shared by all who ask for as many threads; a forked process gets
    its own. Work in the pool must not wait for other work in it.
    """
    key = (os.getpid(), count)
    with _LOCK:
        if key not in _POOLS:
            _POOLS[key] = _make(count)
        return _POOLS[key]


def _make(count: int) -> ThreadPoolExecutor:
    """``torch.set_num_threads`` sets the number of the calling thread, and threads that begin later
    take the number that any thread set last. So all threads of the pool begin at once, and the
    caller's number is set again before another thread can begin.
    """
    ready = threading.Barrier(count + 1)
    before = torch.get_num_threads()

    def begin() -> None:
        torch.get_num_threads()  # a thread's first call takes over the program's number
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix='glipkit-core', initializer=begin)
    for _ in range(count):  # each task starts a thread while none is idle
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(before)
    return pool


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
    """``work`` for other threads: without gradients, with this one's autocast of the processor and
    inference mode."""
    enabled, dtype = torch.is_autocast_enabled('cpu'), torch.get_autocast_dtype('cpu')
    mode = torch.inference_mode if torch.is_inference_mode_enabled() else torch.no_grad

    def there(argument: Argument) -> Result:
        with torch.autocast('cpu', dtype, enabled=enabled), mode():
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
