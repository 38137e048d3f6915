"""Work on a processor in pieces, each on one core.

A large operation in all threads at once ends with a wait for the slowest of them, and its result
lies in the caches of all cores. Where a computation falls into pieces that each fit in the cache of
one core, a core that takes a whole piece through all its steps waits for nobody, and a core that
another process needs takes fewer pieces.
"""
from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import torch


def share_out(work: Callable[[int], None], count: int) -> None:
    """Calls ``work(0) ... work(count - 1)``, without gradients, on all cores.

    Which core takes a piece, and when, is not fixed: pieces write to different places. In a thread
    of one core, where operations are recorded, and where there are fewer than two pieces for each
    core, so that to wake the cores may take longer than the work, the pieces follow each other.

    Args:
        work: Function of the number of a piece; safe in several threads.
        count: Number of pieces.
    """
    cores = torch.get_num_threads()
    if cores < 2 or count < 2 * cores or torch._C._len_torch_dispatch_stack():
        with torch.no_grad():
            for i in range(count):
                work(i)
        return
    pieces, enter = iter(range(count)), thread_state()

    def take() -> None:
        with enter():
            for i in pieces:  # one iterator for all threads: each piece is taken once
                work(i)

    running = [POOL.get(cores).submit(take) for _ in range(cores)]
    try:
        for one in running:
            one.result()
    finally:
        for _ in pieces:  # after an error: nobody begins another one
            pass
        for one in running:
            one.exception()


def even_pieces(length: int, most: int) -> list[slice]:
    """Runs of at most ``most`` elements, of equal length and as many for every core."""
    cores = torch.get_num_threads()
    count = -(-length // most)
    count = min(count + -count % cores, length) if count > 1 else count
    return [slice(length * i // count, length * (i + 1) // count) for i in range(count)]


def thread_state() -> Callable[[], contextmanager]:
    """A context for another thread: no gradients, this one's autocast and inference mode."""
    enabled, dtype = torch.is_autocast_enabled('cpu'), torch.get_autocast_dtype('cpu')
    inference = torch.is_inference_mode_enabled()

    @contextmanager
    def enter() -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode() if inference else torch.no_grad())
            stack.enter_context(torch.autocast('cpu', dtype, enabled=enabled))
            yield

    return enter


class CorePool:
    """Threads of one core each, made once per process and shared by everybody.

    ``torch.set_num_threads`` sets the number of the calling thread, and threads that begin later
    take the number that any thread set last. So all threads of the pool begin at once, and the
    caller's number is set again before another thread can begin.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[tuple[int, int], ThreadPoolExecutor] = {}

    def get(self, cores: int) -> ThreadPoolExecutor:
        """A pool of ``cores`` threads; a forked process gets its own.

        Work in it must not wait for other work in it.
        """
        key = (os.getpid(), cores)
        with self._lock:
            if key not in self._pools:
                self._pools[key] = self._make(cores)
            return self._pools[key]

    @staticmethod
    def _make(cores: int) -> ThreadPoolExecutor:
        ready = threading.Barrier(cores + 1)
        before = torch.get_num_threads()

        def begin() -> None:
            torch.get_num_threads()  # a thread's first call takes over the program's number
            torch.set_num_threads(1)
            ready.wait()

        pool = ThreadPoolExecutor(cores, thread_name_prefix='glipkit-core', initializer=begin)
        for _ in range(cores):  # each task starts a thread while none is idle
            pool.submit(int)
        ready.wait()
        torch.set_num_threads(before)
        return pool


POOL = CorePool()


def start_threads() -> None:
    """Starts the threads of the pool now, before other threads of the program begin."""
    if (cores := torch.get_num_threads()) > 1:
        POOL.get(cores)
