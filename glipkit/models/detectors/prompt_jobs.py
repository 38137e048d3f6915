"""How the prompts of a batch pass through the head: several at a time, as far as memory goes.

The image tower runs once. Behind it nothing is shared between prompts, since the first fusion
already mixes words into the maps; but a pass of the head does not keep all cores busy. On a
processor prompts therefore run in threads of one core each, on a GPU as one larger batch.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

import torch
from torch import Tensor

from glipkit.text.structures import Prompt

Pair = tuple[int, Prompt]
"""An image of the batch, and a prompt for it."""

Job, Result = TypeVar('Job'), TypeVar('Result')

#: Pyramids, with the channels of the neck, that one pass of the head holds at its peak (measured:
#: 9.6), and the share of the free memory that passes may take together.
_PYRAMIDS, _SHARE = 12, 0.5
_TOKENS = 256  # of a long prompt: the logits of all positions


def plan_jobs(prompts: Sequence[Sequence[Prompt]], rounds: int) -> list[list[Pair]]:
    """The passes of the head.

    Args:
        prompts: Of each image, one or more.
        rounds: A round is one prompt of every image that has as many; so many make a pass.
    """
    rows = [[(i, mine[chunk]) for i, mine in enumerate(prompts) if chunk < len(mine)]
            for chunk in range(max(map(len, prompts)))]
    return [sum(rows[k:k + rounds], []) for k in range(0, len(rows), rounds)]


def rounds_at_once(levels: Sequence[Tensor]) -> int:
    """How many rounds over maps (B, C, H_i, W_i) fit into the free memory, at least one."""
    positions = sum(level[:, 0].numel() for level in levels)
    channels = _PYRAMIDS * levels[0].size(1) + _TOKENS
    size = positions * channels * levels[0].element_size()
    return max(1, int(_SHARE * _free_memory(levels[0].device) / size))


def _free_memory(device: torch.device) -> int:
    if device.type == 'cuda':
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    except (AttributeError, ValueError, OSError):  # not every system says
        return 1 << 30


def run_jobs(work: Callable[[Job], Result], jobs: Sequence[Job], threads: int) -> list[Result]:
    """Results of all jobs, in their order.

    Args:
        work: Safe to run in several threads, without gradients.
        jobs: Its arguments.
        threads: Jobs at a time. With more than one, each has a single core to itself, and autocast
            is as in the calling thread.
    """
    cores = torch.get_num_threads()
    threads = min(threads, cores, len(jobs))
    if threads < 2:
        return [work(job) for job in jobs]
    enter = _autocast_state()

    def in_thread(job: Job) -> Result:
        with ExitStack() as stack, torch.no_grad():
            enter(stack)
            return work(job)

    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads,
                                initargs=(1, )) as pool:
            return list(pool.map(in_thread, jobs))
    finally:
        # The number is each thread's own, but new threads take the one that was set last.
        torch.set_num_threads(cores)


def _autocast_state() -> Callable[[ExitStack], None]:
    """Enters, in another thread, the CPU autocast of this one."""
    enabled, dtype = torch.is_autocast_enabled('cpu'), torch.get_autocast_dtype('cpu')
    return lambda stack: stack.enter_context(torch.autocast('cpu', dtype, enabled=enabled))
