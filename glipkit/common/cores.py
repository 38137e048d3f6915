"""Work on a processor in pieces, each on one core.

A large operation in all threads at once ends with a wait for the slowest of them, and its result
lies in the caches of all cores. Where a computation falls into pieces that each fit in the cache of
one core, a core that takes a whole piece through all its steps waits for nobody, and a core that
another process needs takes fewer pieces.
"""
from __future__ import annotations

from collections.abc import Callable

import torch

from glipkit.common.core_threads import as_here, core_threads


def share_out(work: Callable[[int], None], count: int) -> None:
    """Calls ``work(0) ... work(count - 1)``, without gradients, on all cores.

    Which core takes a piece, and when, is not fixed: pieces write to different places. In a thread
    of one core, and where operations are recorded, the pieces follow each other.

    Args:
        work: Function of the number of a piece; safe in several threads.
        count: Number of pieces.
    """
    cores = min(torch.get_num_threads(), count)
    if cores < 2 or torch._C._len_torch_dispatch_stack():
        with torch.no_grad():
            for i in range(count):
                work(i)
        return
    pieces = iter(range(count))

    def take(_: int) -> None:
        for i in pieces:  # one iterator for all threads: each piece is taken once
            work(i)

    pool, take_here = core_threads(torch.get_num_threads()), as_here(take)
    running = [pool.submit(take_here, core) for core in range(cores)]
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


def start_threads() -> None:
    """Starts the threads of the pool now, before other threads of the program begin."""
    if (cores := torch.get_num_threads()) > 1:
        core_threads(cores)
