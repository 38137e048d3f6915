"""Both softmaxes of the cross attention in one pass over chunks of positions.

The visual side has tens of thousands of positions, so the (positions x tokens) tensors of the plain
form are the largest of the model. Here they exist for one chunk at a time, small enough for the
cache of a core, and the backward pass computes them again. B images, N positions, h heads, T
tokens, C channels.

The softmax over tokens and the softmax over positions share one exponential: as long as no row sum
and no column sum leaves the range of floats, no maximum has to be subtracted first and no
similarity is large enough for the clamp. Where a sum does leave it, that image is computed again
with clamp and maxima.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from glipkit.common.cores import share_out
from glipkit.common.linear import prepared
from glipkit.models.kernels import attention_gradients  # noqa: F401 the operator of the gradients
from glipkit.models.kernels.attention_chunks import (
    UNSHIFTED,
    Dropout,
    TokenSums,
    chunk_rows,
    groups_of_chunks,
    masked,
    softmax_over_tokens,
    sum_dtype,
    write_token_sums,
)
from glipkit.models.kernels.operators import operator

SMALLEST_SUM, LARGEST_SUM = 1e-20, 1e30
"""Sums of exponentials in this range are as accurate as with the maximum subtracted."""


def attend_both_ways(visual: Tensor, keys: Tensor, offset: Tensor, values: Tensor, bias: Tensor,
                     mask: Tensor, num_heads: int, max_logit: float,
                     dropout: float) -> tuple[Tensor, Tensor, Tensor]:
    """Attention of positions to tokens and of tokens to positions.

    The similarity of position i and token j in a head is ``visual_i . keys_j + offset_j``, clamped.

    Args:
        visual: Positions (B, N, C).
        keys: Scaled keys (B, C, h*T) in visual space.
        offset: Offsets (B, h*T) of the similarities.
        values: Values (B, h*T, C) that a position receives from each token.
        bias: Vector (C,) that every position receives.
        mask: Mask (B, T), True at tokens that positions may attend to.
        num_heads: Number of heads h.
        max_logit: Bound of the similarities.
        dropout: Dropout rate of both maps; 0 outside training.

    Returns:
        Updated positions (B, N, C), which are ``visual`` plus what they received; context of the
        tokens (B, h*T, C); and mass (B, h*T), the sum of a token's attention, which differs from 1
        only with dropout.
    """
    # The drawn seed follows the global generator, so checkpointing repeats it.
    seed = torch.randint(2**62, (1, ) if dropout else (0, ))
    updated, context, mass, *_ = torch.ops.glipkit.attend_both_ways(
        visual.contiguous(), keys, offset, values, bias, mask, seed, num_heads, max_logit, dropout)
    return updated, context, mass


@operator('attend_both_ways')
def _attend(visual: Tensor, keys: Tensor, offset: Tensor, values: Tensor, bias: Tensor,
            mask: Tensor, seed: Tensor, num_heads: int, max_logit: float,
            dropout: float) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    outputs = _empty_outputs(visual, keys, num_heads)
    with torch.no_grad(), torch.autocast(visual.device.type, enabled=False):
        for i, image in enumerate(zip(visual, keys, offset, masked(values, mask), mask, *outputs)):
            one = _Image(*image, bias=bias, num_heads=num_heads, seed=seed, dropout=dropout,
                         first_group=i * len(image[0]))
            if not one.attend():
                one.attend_exactly(max_logit)
    return outputs


@_attend.register_fake
def _(visual: Tensor, keys: Tensor, offset: Tensor, values: Tensor, bias: Tensor, mask: Tensor,
      seed: Tensor, num_heads: int, max_logit: float, dropout: float) -> tuple[Tensor, ...]:
    return _empty_outputs(visual, keys, num_heads)


def _empty_outputs(visual: Tensor, keys: Tensor, num_heads: int) -> tuple[Tensor, ...]:
    """Positions, context, mass; row sums (B, N, h), column sums and column maxima (B, h*T)."""
    batch, positions, channels = visual.shape
    columns = keys.size(2)
    sums = sum_dtype(visual)
    return (torch.empty_like(visual), visual.new_empty(batch, columns, channels, dtype=sums),
            visual.new_empty(batch, columns, dtype=sums),
            visual.new_empty(batch, positions, num_heads, dtype=sums),
            visual.new_empty(batch, columns, dtype=sums),
            visual.new_empty(batch, columns, dtype=sums))


@dataclass
class _Image:
    """One image: arguments of :func:`attend_both_ways`, and where its results are written."""
    visual: Tensor
    keys: Tensor
    offset: Tensor
    values: Tensor
    mask: Tensor
    updated: Tensor
    context: Tensor
    mass: Tensor
    row_sums: Tensor
    column_sums: Tensor
    column_max: Tensor
    bias: Tensor
    num_heads: int
    seed: Tensor
    dropout: float
    first_group: int

    def __post_init__(self) -> None:
        rows = chunk_rows(self.keys)
        self._groups = groups_of_chunks(len(self.visual), rows)
        self._similarity = prepared(self.keys.t(), self.offset, rows)
        self._receive = prepared(self.values.t(), self.bias, rows)
        self._all_seen = bool(self.mask.all())

    def attend(self) -> bool:
        """Without maxima. Returns whether all sums stayed in range; if not, nothing is valid."""
        self.column_max.fill_(UNSHIFTED)
        self._in_groups(self._attend_chunk)
        lows = torch.stack([self.row_sums.amin(), self.column_sums.amin()])
        highs = torch.stack([self.row_sums.amax(), self.column_sums.amax()])
        return bool((lows > SMALLEST_SUM).all() & (highs < LARGEST_SUM).all())

    def attend_exactly(self, max_logit: float) -> None:
        """With clamp and maxima; the similarities are computed twice."""
        self.row_sums.fill_(1)
        self.column_max.fill_(-float('inf'))
        for chunk in sum(self._groups, []):
            logits = self._similarity(self.visual[chunk]).clamp_(-max_logit, max_logit)
            torch.maximum(self.column_max, logits.amax(dim=0).to(self.column_max.dtype),
                          out=self.column_max)
        self._in_groups(lambda chunk, sums, drop:
                        self._attend_chunk_exactly(chunk, sums, drop, max_logit))

    def _in_groups(self, attend: Callable[[slice, TokenSums, Dropout], None]) -> None:
        parts = [TokenSums(*self.context.shape, self.context.dtype) for _ in self._groups]

        def work(i: int) -> None:
            drop = Dropout(self.seed, self.dropout, self.first_group + i)
            for chunk in self._groups[i]:
                attend(chunk, parts[i], drop)

        share_out(work, len(parts))
        write_token_sums(parts, self.context, self.mass, self.column_sums)

    def _attend_chunk(self, chunk: slice, token_sums: TokenSums, drop: Dropout) -> None:
        x = self.visual[chunk]
        weights = self._similarity(x).exp_()
        heads = weights.view(len(x), self.num_heads, -1)
        seen = heads if self._all_seen else heads * self.mask.to(heads.dtype)
        # In the dtype of the weights, which the factor below has too: PyTorch adds up in float32
        # there, but to ask for a float32 result copies all weights first.
        sums = seen.sum(dim=2)
        self.row_sums[chunk] = sums
        token_sums.add(weights, weights * drop.like(weights) if drop else weights, x)
        heads.mul_(sums.reciprocal()[..., None])
        if drop:
            weights *= drop.like(weights)
        self.updated[chunk] = self._receive(weights, residual=x)

    def _attend_chunk_exactly(self, chunk: slice, token_sums: TokenSums, drop: Dropout,
                              max_logit: float) -> None:
        x = self.visual[chunk]
        logits = self._similarity(x).clamp_(-max_logit, max_logit)
        to_visual = (logits - self.column_max).exp_()
        token_sums.add(to_visual, to_visual * drop.like(to_visual) if drop else to_visual, x)
        to_text = softmax_over_tokens(logits, self.mask, self.num_heads)
        to_text = to_text * drop.like(to_text) if drop else to_text
        self.updated[chunk] = self._receive(to_text.to(x.dtype), residual=x)


def _setup_context(ctx, inputs: tuple, output: tuple) -> None:
    *tensors, ctx.num_heads, ctx.max_logit, ctx.dropout = inputs
    del tensors[4]  # no gradient needs the bias
    _, *kept = output
    ctx.save_for_backward(*tensors, *kept)
    ctx.mark_non_differentiable(*kept[2:])


def _backward(ctx, grad_updated: Tensor, grad_context: Tensor, grad_mass: Tensor,
              *unused: Tensor | None) -> tuple[Tensor | None, ...]:
    grads = torch.ops.glipkit.attend_both_ways_backward(
        *ctx.saved_tensors, grad_updated.contiguous(), grad_context, grad_mass, ctx.num_heads,
        ctx.max_logit, ctx.dropout)
    return (*grads, grad_updated.sum(dim=(0, 1)), None, None, None, None, None)


_attend.register_autograd(_backward, setup_context=_setup_context)


@register_flop_formula(torch.ops.glipkit.attend_both_ways)
def _flops(visual: tuple, keys: tuple, *args, out_shape=None, **kwargs) -> int:
    batch, positions, channels = visual
    return 3 * 2 * batch * positions * channels * keys[2]


@register_flop_formula(torch.ops.glipkit.attend_both_ways_backward)
def _backward_flops(visual: tuple, keys: tuple, *args, out_shape=None, **kwargs) -> int:
    batch, positions, channels = visual
    return 7 * 2 * batch * positions * channels * keys[2]
