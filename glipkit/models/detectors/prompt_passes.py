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
import torch.nn.functional as F
from torch import Tensor

from glipkit.common.allocator import free_memory
from glipkit.common.core_threads import as_here, in_order
from glipkit.common.cores import POOL
from glipkit.common.devices import to_device
from glipkit.text.spans import token_map
from glipkit.text.structures import Prompt, TextTokens

PromptPass = list[tuple[int, Prompt]]
"""One pass of the head: pairs of an image's index in the batch and a prompt for it."""
TokenMaps = Sequence[Tensor]
"""Tokens (N, T) of each name of each prompt, bool; on a GPU one tensor (B, N, T)."""
Argument, Result = TypeVar('Argument'), TypeVar('Result')

#: Peak memory of one pass of the head, counted in pyramids with the channels of the neck (measured:
#: 9.6), and the share of the free memory that all passes may take together.
_PYRAMIDS, _SHARE = 12, 0.5
_TOKENS = 256  # of a long prompt, for the memory of the logits
_WHOLE_MAPS = 4 * 8  # on a GPU, whole maps of the fusion at a time, times their heads


def plan_passes(prompts: Sequence[Sequence[Prompt]], rounds: int) -> list[PromptPass]:
    """The passes of the head.

    Args:
        prompts: One or more prompts of each image.
        rounds: Number of rounds in a pass. A round is the next prompt of every image that has one.
    """
    rows = [[(i, mine[chunk]) for i, mine in enumerate(prompts) if chunk < len(mine)]
            for chunk in range(max(map(len, prompts)))]
    return [sum(rows[k:k + rounds], []) for k in range(0, len(rows), rounds)]


def rows_of(levels: Sequence[Tensor], images: Sequence[int]) -> list[Tensor]:
    """Maps (B, C, H_i, W_i) -> those of some images, one after another."""
    if list(images) == list(range(len(levels[0]))):
        return list(levels)
    index = to_device(torch.tensor(images), levels[0].device)
    return [level.index_select(0, index) for level in levels]


def token_maps(tokens: TextTokens, prompts: Sequence[Prompt], device: torch.device) -> TokenMaps:
    """Which tokens belong to the names of each prompt.

    Args:
        tokens: Tokens of the prompts.
        prompts: The prompts.
        device: Where the maps are wanted. On a GPU they are one tensor, with empty rows where a
            prompt has fewer names than others: one copy for all.
    """
    maps = [token_map(offsets, prompt.spans, tokens.ids.size(1))
            for offsets, prompt in zip(tokens.offsets, prompts)]
    if device.type != 'cuda':
        return [one.to(device) for one in maps]
    most = max(map(len, maps))
    return to_device(torch.stack([F.pad(one, (0, 0, 0, most - len(one))) for one in maps]), device)


def labels_of_columns(found: Tensor, columns: Sequence[int]) -> Tensor:
    """Labels of a query for those that index the columns of a prompt.

    Args:
        found: Columns (M,); a place without a candidate may name one behind the last.
        columns: Label of each column.
    """
    first = columns[0] if columns else 0
    if list(columns) == list(range(first, first + len(columns))):
        return found + first if first else found
    table = to_device(torch.tensor(columns), found.device)
    return table[found.clamp(max=len(columns) - 1)]


def rounds_at_once(levels: Sequence[Tensor]) -> int:
    """How many rounds over maps (B, C, H_i, W_i) fit into the free memory, at least one."""
    positions = sum(level[:, 0].numel() for level in levels)
    channels = _PYRAMIDS * levels[0].size(1) + _TOKENS
    if levels[0].is_cuda:
        channels += _WHOLE_MAPS * _TOKENS
    size = positions * channels * levels[0].element_size()
    return max(1, int(_SHARE * _free_memory(levels[0].device) / size))


def _free_memory(device: torch.device) -> int:
    if device.type == 'cuda':  # what torch keeps for later is free as well
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return free_memory()


def run_passes(work: Callable[[Argument], Result], arguments: Sequence[Argument],
               at_once: int) -> list[Result]:
    """Results of all passes on a processor, in their order.

    Args:
        work: Function of one argument, safe in several threads and without gradients.
        arguments: Argument of each pass.
        at_once: Largest number of passes at a time. Several run in threads of the pool, with one
            core each and the autocast of the calling thread. Those that are left when no core
            gets another one run in the calling thread, on all its cores.
    """
    cores = torch.get_num_threads()
    if len(arguments) < 2 or cores < 2:
        return [work(argument) for argument in arguments]
    shared = len(arguments) - len(arguments) % cores
    return [*in_order(POOL.get(cores), as_here(work), arguments[:shared], max(1, at_once)),
            *map(work, arguments[shared:])]
