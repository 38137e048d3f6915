"""How the prompts of a batch pass through the head: several at a time, as far as memory goes.

The image tower runs once. After it prompts share nothing, since the first fusion already mixes text
into the maps; but one pass of the head does not keep all cores busy. On a processor prompts
therefore run in threads of one core each, on a GPU as one larger batch.

On a processor each of several passes has one core, however many run at a time: results do not
depend on the free memory or on what other threads of the program do.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from glipkit.common.allocator import free_memory
from glipkit.common.core_threads import as_here, core_threads, in_order
from glipkit.text.structures import Prompt

PromptPass = list[tuple[int, Prompt]]
"""One pass of the head: pairs of an image's index in the batch and a prompt for it."""
Argument, Result = TypeVar('Argument'), TypeVar('Result')

#: Peak memory of one pass of the head, counted in pyramids with the channels of the neck (measured:
#: 9.6), and the share of the free memory that all passes may take together.
_PYRAMIDS, _SHARE = 12, 0.5
_TOKENS = 256  # of a long prompt, for the memory of the logits


def plan_passes(prompts: Sequence[Sequence[Prompt]], rounds: int) -> list[PromptPass]:
    """The passes of the head.

    Args:
        prompts: One or more prompts of each image.
        rounds: Number of rounds in a pass. A round is the next prompt of every image that has one.
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
    return free_memory()


def run_passes(work: Callable[[Argument], Result], arguments: Sequence[Argument],
               at_once: int) -> list[Result]:
    """Results of all passes on a processor, in their order.

    Args:
        work: Function of one argument, safe in several threads and without gradients.
        arguments: Argument of each pass.
        at_once: Largest number of passes at a time. Several run in threads of the pool, with one
            core each and the autocast of the calling thread; a single one runs in the calling
            thread, on all its cores.
    """
    cores = torch.get_num_threads()
    if len(arguments) < 2 or cores < 2:
        return [work(argument) for argument in arguments]
    return list(in_order(core_threads(cores), as_here(work), arguments, max(1, at_once)))


def start_threads() -> None:
    """Starts the threads of the pool now, before other threads of the program begin."""
    if (cores := torch.get_num_threads()) > 1:
        core_threads(cores)
