"""Both softmaxes of the cross attention in one pass over chunks of positions.

The visual side has tens of thousands of positions, so the (positions x tokens) tensors of the plain
form are the largest of the model. Here they exist for one chunk at a time, small enough for a
processor's cache, and the backward pass computes them again. B images, N positions, h heads, T
tokens, C channels.

The softmax over tokens and the softmax over positions share one exponential: as long as no row sum
and no column sum leaves the range of floats, no maximum has to be subtracted first and no
similarity is large enough for the clamp. Where a sum does leave it, that image is computed again
with clamp and maxima.
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from glipkit.common.linear import TransposedSum, prepared
from glipkit.models.kernels.operators import operator

CHUNK_BYTES = 1 << 22
"""Bytes of one (positions x h*T) chunk, which fits in the cache of one or two cores."""

SMALLEST_SUM, LARGEST_SUM = 1e-20, 1e30
"""Sums of exponentials in this range are as accurate as with the maximum subtracted."""

UNSHIFTED = float('inf')
"""Stands for the column maxima where none were needed."""


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
    drop = _Dropout(seed, dropout)
    with torch.no_grad(), torch.autocast(visual.device.type, enabled=False):
        for image in zip(visual, keys, offset, _masked(values, mask), mask, *outputs):
            state = drop.state()
            if not _attend_one(*image, bias, num_heads, drop):
                drop.restore(state)
                _attend_one_exactly(*image, bias, num_heads, max_logit, drop)
    return outputs


@_attend.register_fake
def _(visual: Tensor, keys: Tensor, offset: Tensor, values: Tensor, bias: Tensor, mask: Tensor,
      seed: Tensor, num_heads: int, max_logit: float, dropout: float) -> tuple[Tensor, ...]:
    return _empty_outputs(visual, keys, num_heads)


def _empty_outputs(visual: Tensor, keys: Tensor, num_heads: int) -> tuple[Tensor, ...]:
    """Positions, context, mass; row sums (B, N, h), column sums and column maxima (B, h*T)."""
    batch, positions, channels = visual.shape
    columns = keys.size(2)
    sums = _sum_dtype(visual)
    return (torch.empty_like(visual), visual.new_empty(batch, columns, channels, dtype=sums),
            visual.new_empty(batch, columns, dtype=sums),
            visual.new_empty(batch, positions, num_heads, dtype=sums),
            visual.new_empty(batch, columns, dtype=sums),
            visual.new_empty(batch, columns, dtype=sums))


def _sum_dtype(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _masked(values: Tensor, mask: Tensor) -> Tensor:
    """Values (B, h*T, C) with those of masked tokens set to zero."""
    keep = mask.repeat(1, values.size(1) // mask.size(1))
    return values * keep[..., None].to(values.dtype)


def _chunks(visual: Tensor, keys: Tensor) -> list[slice]:
    """Runs of positions of one image."""
    size = min(max(CHUNK_BYTES // (keys.element_size() * keys.size(1)), 256), 4096)
    return [slice(i, min(i + size, len(visual))) for i in range(0, len(visual), size)]


class _Dropout:
    """Factors 0 or 1 / (1 - rate), the same sequence whenever it starts from the same seed."""

    def __init__(self, seed: Tensor, rate: float) -> None:
        self.rate = rate
        self._generator = None
        if rate:
            self._generator = torch.Generator().manual_seed(int(seed))

    def __bool__(self) -> bool:
        return bool(self.rate)

    def state(self) -> Tensor | None:
        return self._generator.get_state() if self else None

    def restore(self, state: Tensor | None) -> None:
        if self:
            self._generator.set_state(state)

    def like(self, x: Tensor) -> Tensor:
        kept = torch.empty(x.shape, dtype=torch.float32)
        kept.bernoulli_(1 - self.rate, generator=self._generator)
        return kept.div_(1 - self.rate).to(x)


def _row_sums(weights: Tensor, mask: Tensor, num_heads: int) -> Tensor:
    """Weights (P, h*T) -> sums over the tokens of each head (P, h)."""
    weights = weights.view(len(weights), num_heads, -1)
    if not bool(mask.all()):
        weights = weights * mask.to(weights.dtype)
    return weights.sum(dim=2).to(_sum_dtype(weights))


def _attend_one(visual: Tensor, keys: Tensor, offset: Tensor, values: Tensor, mask: Tensor,
                updated: Tensor, context: Tensor, mass: Tensor, row_sums: Tensor,
                column_sums: Tensor, column_max: Tensor, bias: Tensor, num_heads: int,
                drop: _Dropout) -> bool:
    """One image without maxima, written to the tensors of :func:`_empty_outputs`.

    Returns:
        Whether all sums stayed in range; if not, the outputs are not valid.
    """
    mass.zero_()
    column_sums.zero_()
    column_max.fill_(UNSHIFTED)
    chunks = _chunks(visual, keys)
    similarity = prepared(keys.t(), offset, chunks[0].stop)
    receive = prepared(values.t(), bias, chunks[0].stop)
    seen = TransposedSum(*context.shape, context.dtype)
    for chunk in chunks:
        x = visual[chunk]
        weights = similarity(x).exp_()
        sums = _row_sums(weights, mask, num_heads)
        row_sums[chunk] = sums
        # Half precision adds up in float32 too, and is only rounded at the end of a chunk.
        chunk_sums = weights.sum(dim=0)
        column_sums += chunk_sums
        dropped = weights * drop.like(weights) if drop else weights
        mass += dropped.sum(dim=0) if drop else chunk_sums
        seen.add(dropped, x)
        weights.view(len(x), num_heads, -1).mul_(sums.reciprocal().to(weights.dtype)[..., None])
        if drop:
            weights *= drop.like(weights)
        updated[chunk] = receive(weights, residual=x)
    torch.div(seen.total, column_sums[:, None], out=context)
    mass /= column_sums
    lows = torch.stack([row_sums.amin(), column_sums.amin()])
    highs = torch.stack([row_sums.amax(), column_sums.amax()])
    return bool((lows > SMALLEST_SUM).all() & (highs < LARGEST_SUM).all())


def _attend_one_exactly(visual: Tensor, keys: Tensor, offset: Tensor, values: Tensor, mask: Tensor,
                        updated: Tensor, context: Tensor, mass: Tensor, row_sums: Tensor,
                        column_sums: Tensor, column_max: Tensor, bias: Tensor, num_heads: int,
                        max_logit: float, drop: _Dropout) -> None:
    """One image with clamp and maxima; the similarities are computed twice."""
    mass.zero_()
    column_sums.zero_()
    row_sums.fill_(1)
    chunks = _chunks(visual, keys)
    similarity = prepared(keys.t(), offset, chunks[0].stop)
    receive = prepared(values.t(), bias, chunks[0].stop)
    seen = TransposedSum(*context.shape, context.dtype)
    column_max.fill_(-float('inf'))
    for chunk in chunks:
        logits = similarity(visual[chunk]).clamp_(-max_logit, max_logit)
        torch.maximum(column_max, logits.amax(dim=0).to(column_max.dtype), out=column_max)
    for chunk in chunks:
        x = visual[chunk]
        logits = similarity(x).clamp_(-max_logit, max_logit)
        to_visual = (logits - column_max).exp_()
        column_sums += to_visual.sum(dim=0)
        to_visual = to_visual * drop.like(to_visual) if drop else to_visual
        mass += to_visual.sum(dim=0)
        seen.add(to_visual.to(x.dtype), x)
        to_text = _softmax_over_tokens(logits, mask, num_heads)
        to_text = to_text * drop.like(to_text) if drop else to_text
        updated[chunk] = receive(to_text.to(values.dtype), residual=x)
    torch.div(seen.total, column_sums[:, None], out=context)
    mass /= column_sums


def _softmax_over_tokens(logits: Tensor, mask: Tensor, num_heads: int) -> Tensor:
    logits = logits.view(len(logits), num_heads, -1).to(_sum_dtype(logits))
    return logits.masked_fill(~mask, float('-inf')).softmax(dim=2).flatten(1)


@operator('attend_both_ways_backward')
def _attend_backward(visual: Tensor, keys: Tensor, offset: Tensor, values: Tensor, mask: Tensor,
                     seed: Tensor, context: Tensor, mass: Tensor, row_sums: Tensor,
                     column_sums: Tensor, column_max: Tensor, grad_updated: Tensor,
                     grad_context: Tensor, grad_mass: Tensor, num_heads: int, max_logit: float,
                     dropout: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    sums = _sum_dtype(visual)
    grads = (torch.empty_like(visual), torch.empty_like(keys, dtype=sums),
             torch.zeros_like(offset, dtype=sums), torch.empty_like(values, dtype=sums))
    drop = _Dropout(seed, dropout)
    with torch.no_grad(), torch.autocast(visual.device.type, enabled=False):
        # Weighted mean of each column's gradients; the gradient of its softmax subtracts it.
        means = (context * grad_context).sum(dim=2) + mass * grad_mass
        for image in zip(visual, keys, offset, _masked(values, mask), mask, row_sums, column_sums,
                         column_max, grad_updated.to(visual.dtype), grad_context, grad_mass, means,
                         *grads):
            _backward_of_one(*image, num_heads, max_logit, drop)
        grad_values = _masked(grads[3], mask)
    return (grads[0], grads[1].to(keys.dtype), grads[2].to(offset.dtype),
            grad_values.to(values.dtype))


@_attend_backward.register_fake
def _(visual: Tensor, keys: Tensor, offset: Tensor, values: Tensor, mask: Tensor, seed: Tensor,
      context: Tensor, mass: Tensor, row_sums: Tensor, column_sums: Tensor, column_max: Tensor,
      grad_updated: Tensor, grad_context: Tensor, grad_mass: Tensor, num_heads: int,
      max_logit: float, dropout: float) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(x) for x in (visual, keys, offset, values))


def _backward_of_one(visual: Tensor, keys: Tensor, offset: Tensor, values: Tensor, mask: Tensor,
                     row_sums: Tensor, column_sums: Tensor, column_max: Tensor,
                     grad_updated: Tensor, grad_context: Tensor, grad_mass: Tensor, means: Tensor,
                     grad_visual: Tensor, grad_keys: Tensor, grad_offset: Tensor,
                     grad_values: Tensor, num_heads: int, max_logit: float,
                     drop: _Dropout) -> None:
    """Gradients of one image, written to the last four tensors."""
    half = visual.dtype
    chunks = _chunks(visual, keys)
    similarity = prepared(keys.t(), offset, chunks[0].stop)
    to_context = prepared(grad_context.to(half), None, chunks[0].stop)
    to_received = prepared(values, None, chunks[0].stop)
    to_visual_side = prepared(torch.cat([grad_context.to(half).t(), keys], dim=1), None,
                              chunks[0].stop)
    for_keys = TransposedSum(*grad_keys.shape, grad_keys.dtype)
    for_values = TransposedSum(*grad_values.shape, grad_values.dtype)
    for chunk in chunks:
        x, grad = visual[chunk], grad_updated[chunk]
        logits = similarity(x).to(row_sums.dtype)
        to_visual, to_text = _maps_again(logits, mask, row_sums[chunk], column_sums, column_max,
                                         num_heads, max_logit)

        kept = drop.like(logits) if drop else None
        grad_to_visual = to_context(x).to(logits.dtype) + grad_mass
        grad_logits = _softmax_backward_over_positions(to_visual, grad_to_visual, means, kept)
        dropped_to_visual = to_visual if kept is None else to_visual * kept

        kept = drop.like(logits) if drop else None
        dropped = to_text if kept is None else to_text * kept
        for_values.add(dropped.to(half), grad)
        grad_to_text = to_received(grad).to(logits.dtype)
        # The map times its gradient; the gradient of the softmax subtracts the sum over a row.
        product = grad_to_text.mul_(dropped).view(len(x), num_heads, -1)
        row_means = product.sum(dim=2, keepdim=True)
        grad_logits += product.flatten(1)
        grad_logits.view_as(product).addcmul_(to_text.view_as(product), row_means, value=-1)

        if not _is_unshifted(column_max):
            grad_logits.masked_fill_(logits.abs() > max_logit, 0)
        grad_offset += grad_logits.sum(dim=0)
        both = torch.cat([dropped_to_visual, grad_logits], dim=1).to(half)
        grad_visual[chunk] = to_visual_side(both, residual=grad)
        for_keys.add(x, both[:, keys.size(1):])
    grad_keys.copy_(for_keys.total)
    grad_values.copy_(for_values.total)


def _is_unshifted(column_max: Tensor) -> bool:
    return bool(column_max[0] == UNSHIFTED)


def _maps_again(logits: Tensor, mask: Tensor, row_sums: Tensor, column_sums: Tensor,
                column_max: Tensor, num_heads: int, max_logit: float) -> tuple[Tensor, Tensor]:
    """The normalised attention maps (P, h*T) of a chunk: to positions, to tokens."""
    if not _is_unshifted(column_max):
        logits = logits.clamp(-max_logit, max_logit)
        return ((logits - column_max).exp_().div_(column_sums),
                _softmax_over_tokens(logits, mask, num_heads))
    weights = logits.exp()
    to_text = weights.view(len(weights), num_heads, -1) / row_sums[..., None]
    if not bool(mask.all()):
        to_text *= mask
    return weights.div_(column_sums), to_text.flatten(1)


def _softmax_backward_over_positions(to_visual: Tensor, grad: Tensor, means: Tensor,
                                     kept: Tensor | None) -> Tensor:
    if kept is not None:
        grad *= kept
    return grad.sub_(means).mul_(to_visual)


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
