"""Gradients of the chunked cross attention; the attention maps are computed again.

See :mod:`glipkit.models.kernels.chunked_attention` for the letters in shapes.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from glipkit.common.cores import share_out
from glipkit.common.linear import TransposedSum, prepared
from glipkit.models.kernels.attention_chunks import (
    UNSHIFTED,
    Dropout,
    chunk_rows,
    groups_of_chunks,
    masked,
    softmax_over_tokens,
    sum_dtype,
)
from glipkit.models.kernels.operators import operator


@operator('attend_both_ways_backward')
def _attend_backward(visual: Tensor, keys: Tensor, offset: Tensor, values: Tensor, mask: Tensor,
                     seed: Tensor, context: Tensor, mass: Tensor, row_sums: Tensor,
                     column_sums: Tensor, column_max: Tensor, grad_updated: Tensor,
                     grad_context: Tensor, grad_mass: Tensor, num_heads: int, max_logit: float,
                     dropout: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    sums = sum_dtype(visual)
    grads = (torch.empty_like(visual), *(torch.empty_like(x, dtype=sums)
                                         for x in (keys, offset, values)))
    with torch.no_grad(), torch.autocast(visual.device.type, enabled=False):
        # Weighted mean of each column's gradients; the gradient of its softmax subtracts it.
        means = (context * grad_context).sum(dim=2) + mass * grad_mass
        for i, image in enumerate(zip(
                visual, keys, offset, masked(values, mask), mask, row_sums, column_sums,
                column_max, grad_updated.to(visual.dtype), grad_context, grad_mass, means, *grads)):
            _Image(*image, num_heads=num_heads, max_logit=max_logit, seed=seed, dropout=dropout,
                   first_group=i * len(image[0])).run()
        grad_values = masked(grads[3], mask)
    return (grads[0], grads[1].to(keys.dtype), grads[2].to(offset.dtype),
            grad_values.to(values.dtype))


@_attend_backward.register_fake
def _(visual: Tensor, keys: Tensor, offset: Tensor, values: Tensor, mask: Tensor, seed: Tensor,
      context: Tensor, mass: Tensor, row_sums: Tensor, column_sums: Tensor, column_max: Tensor,
      grad_updated: Tensor, grad_context: Tensor, grad_mass: Tensor, num_heads: int,
      max_logit: float, dropout: float) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(x) for x in (visual, keys, offset, values))


@dataclass
class _Image:
    """One image: what its forward pass left, gradients of results, and where to write others."""
    visual: Tensor
    keys: Tensor
    offset: Tensor
    values: Tensor
    mask: Tensor
    row_sums: Tensor
    column_sums: Tensor
    column_max: Tensor
    grad_updated: Tensor
    grad_context: Tensor
    grad_mass: Tensor
    means: Tensor
    grad_visual: Tensor
    grad_keys: Tensor
    grad_offset: Tensor
    grad_values: Tensor
    num_heads: int
    max_logit: float
    seed: Tensor
    dropout: float
    first_group: int

    def __post_init__(self) -> None:
        rows = chunk_rows(self.keys)
        grad_context = self.grad_context.to(self.visual.dtype)
        self._groups = groups_of_chunks(len(self.visual), rows)
        self._similarity = prepared(self.keys.t(), self.offset, rows)
        self._to_context = prepared(grad_context, None, rows)
        self._to_received = prepared(self.values, None, rows)
        self._to_positions = prepared(torch.cat([grad_context.t(), self.keys], dim=1), None, rows)
        self._all_seen = bool(self.mask.all())

    def run(self) -> None:
        """Writes the gradients of positions, keys, offset and values."""
        parts = [_Sums(self) for _ in self._groups]

        def work(i: int) -> None:
            drop = Dropout(self.seed, self.dropout, self.first_group + i)
            for chunk in self._groups[i]:
                self._run_chunk(chunk, parts[i], drop)

        share_out(work, len(parts))
        first, *rest = parts
        for other in rest:
            first.keys.total += other.keys.total
            first.values.total += other.values.total
            first.offset += other.offset
        self.grad_keys.copy_(first.keys.total)
        self.grad_values.copy_(first.values.total)
        self.grad_offset.copy_(first.offset)

    def _run_chunk(self, chunk: slice, sums: _Sums, drop: Dropout) -> None:
        x, grad = self.visual[chunk], self.grad_updated[chunk]
        half = x.dtype
        logits = self._similarity(x).to(self.row_sums.dtype)
        to_visual, to_text = self._maps_again(logits, self.row_sums[chunk])

        kept = drop.like(logits) if drop else None
        grad_logits = self._to_context(x).to(logits.dtype) + self.grad_mass
        if kept is not None:
            grad_logits *= kept
        # The softmax over positions: its map times the gradient less the column's mean of it.
        grad_logits.sub_(self.means).mul_(to_visual)
        dropped_to_visual = to_visual if kept is None else to_visual * kept

        kept = drop.like(logits) if drop else None
        dropped = to_text if kept is None else to_text * kept
        sums.values.add(dropped.to(half), grad)
        # The softmax over tokens: its map times the gradient less the row's mean of it.
        product = self._to_received(grad).to(logits.dtype).mul_(dropped)
        product = product.view(len(x), self.num_heads, -1)
        row_means = product.sum(dim=2, keepdim=True)
        grad_logits += product.flatten(1)
        grad_logits.view_as(product).addcmul_(to_text.view_as(product), row_means, value=-1)

        if not _is_unshifted(self.column_max):
            grad_logits.masked_fill_(logits.abs() > self.max_logit, 0)
        sums.offset += grad_logits.sum(dim=0)
        both = torch.cat([dropped_to_visual, grad_logits], dim=1).to(half)
        self.grad_visual[chunk] = self._to_positions(both, residual=grad)
        sums.keys.add(x, both[:, self.keys.size(1):])

    def _maps_again(self, logits: Tensor, row_sums: Tensor) -> tuple[Tensor, Tensor]:
        """The normalised attention maps (P, h*T) of a chunk: to positions, to tokens."""
        if not _is_unshifted(self.column_max):
            logits = logits.clamp(-self.max_logit, self.max_logit)
            return ((logits - self.column_max).exp_().div_(self.column_sums),
                    softmax_over_tokens(logits, self.mask, self.num_heads))
        weights = logits.exp()
        to_text = weights.view(len(weights), self.num_heads, -1) / row_sums[..., None]
        if not self._all_seen:
            to_text *= self.mask
        return weights.div_(self.column_sums), to_text.flatten(1)


class _Sums:
    """Gradients that add up over positions, of one group of chunks."""

    def __init__(self, image: _Image) -> None:
        dtype = image.grad_keys.dtype
        self.keys = TransposedSum(*image.grad_keys.shape, dtype)
        self.values = TransposedSum(*image.grad_values.shape, dtype)
        self.offset = torch.zeros_like(image.grad_offset)


def _is_unshifted(column_max: Tensor) -> bool:
    return bool(column_max[0] == UNSHIFTED)
