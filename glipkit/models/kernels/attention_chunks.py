"""What both directions of the chunked cross attention share: chunks, sums, dropout, softmax.

See :mod:`glipkit.models.kernels.chunked_attention` for the letters in shapes.
"""
from __future__ import annotations

import torch
from torch import Tensor

from glipkit.common.linear import TransposedSum

CHUNK_BYTES, LEAST_ROWS, MOST_ROWS = 1 << 21, 128, 2048
"""Bytes of one (positions x h*T) chunk, near the size of a core's cache, and bounds of its rows."""

GROUPS = 8
"""Largest number of runs of chunks of an image. Each has sums of its own, which are added in the
order of the runs: however many cores there are, and whichever takes a run, results are the same."""

UNSHIFTED = float('inf')
"""Stands for the column maxima where none were needed."""


def sum_dtype(x: Tensor) -> torch.dtype:
    """Dtype of sums of values like ``x``."""
    return torch.promote_types(x.dtype, torch.float32)


def chunk_rows(keys: Tensor) -> int:
    """Positions of one chunk, for keys (C, h*T)."""
    return min(max(CHUNK_BYTES // (keys.element_size() * keys.size(1)), LEAST_ROWS), MOST_ROWS)


def groups_of_chunks(positions: int, rows: int) -> list[list[slice]]:
    """Runs of neighbouring chunks of ``rows`` positions, of nearly equal length."""
    chunks = [slice(i, min(i + rows, positions)) for i in range(0, positions, rows)]
    count = min(GROUPS, len(chunks))
    return [chunks[len(chunks) * i // count:len(chunks) * (i + 1) // count] for i in range(count)]


class TokenSums:
    """Sums over positions, one for each token and head.

    Args:
        columns: Their number h*T.
        channels: Channels C of a position.
        dtype: Dtype of the sums.
    """

    def __init__(self, columns: int, channels: int, dtype: torch.dtype) -> None:
        self.context = TransposedSum(columns, channels, dtype)
        self.weights, self.mass = torch.zeros(2, columns, dtype=dtype)

    def add(self, weights: Tensor, dropped: Tensor, x: Tensor) -> None:
        """Adds a chunk: its weights (P, h*T), these after dropout, and its positions (P, C)."""
        # Half precision adds up in float32 too, and is only rounded at the end of a chunk.
        sums = weights.sum(dim=0)
        self.weights += sums
        self.mass += sums if dropped is weights else dropped.sum(dim=0)
        self.context.add(dropped.to(x.dtype), x)


def write_token_sums(groups: list[TokenSums], context: Tensor, mass: Tensor,
                     column_sums: Tensor) -> None:
    """Writes the weighted means of positions (h*T, C), and the sums of weights (h*T,)."""
    first, *rest = groups
    for other in rest:
        first.context.total += other.context.total
        first.weights += other.weights
        first.mass += other.mass
    column_sums.copy_(first.weights)
    torch.div(first.context.total, column_sums[:, None], out=context)
    torch.div(first.mass, column_sums, out=mass)


class Dropout:
    """Factors 0 or 1 / (1 - rate) for the chunks of one group, the same for the same seed.

    Args:
        seed: Seed (1,); empty without dropout.
        rate: Dropout rate.
        number: Number of the group among those of all images.
    """

    def __init__(self, seed: Tensor, rate: float, number: int) -> None:
        self.rate = rate
        if rate:
            self._generator = torch.Generator().manual_seed(int(seed) + number)

    def __bool__(self) -> bool:
        return bool(self.rate)

    def like(self, x: Tensor) -> Tensor:
        """The next factors, in the shape and dtype of ``x``."""
        kept = torch.empty(x.shape, dtype=torch.float32)
        kept.bernoulli_(1 - self.rate, generator=self._generator)
        return kept.div_(1 - self.rate).to(x)


def softmax_over_tokens(logits: Tensor, mask: Tensor, num_heads: int) -> Tensor:
    """Similarities (P, h*T) -> the softmax of each head, without masked tokens, (P, h*T)."""
    logits = logits.view(len(logits), num_heads, -1).to(sum_dtype(logits))
    return logits.masked_fill(~mask, float('-inf')).softmax(dim=2).flatten(1)


def masked(values: Tensor, mask: Tensor) -> Tensor:
    """Values (B, h*T, C) with those of masked tokens, mask (B, T), set to zero."""
    keep = mask.repeat(1, values.size(1) // mask.size(1))
    return values * keep[..., None].to(values.dtype)
