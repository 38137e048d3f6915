"""Weighted rows of a table, side by side, times a matrix: a deformable convolution on a CPU.

The gathered rows are ``taps`` times the size of the output. Here they exist for one chunk of
outputs at a time, in a processor's cache, and the backward pass gathers them again. R table rows, C
channels in, D out, M outputs, K taps, four neighbours each.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from glipkit.common.cores import even_pieces, share_out
from glipkit.common.linear import TransposedSum, prepared
from glipkit.models.kernels.operators import operator

NEIGHBOURS = 4
CHUNK_ELEMENTS, BACKWARD_CHUNK = 512 * 2304, 2048
"""Most gathered elements (outputs x K * C) in a chunk, 4.5 MiB in float32; most outputs in one of
the backward pass, whose gathered rows of 256 channels and 9 taps take 18 MiB."""


@operator('gathered_product')
def gathered_product(table: Tensor, rows: Tensor, weights: Tensor, kernel: Tensor,
                     bias: Tensor) -> Tensor:
    """Gathers rows of the table, weights them and multiplies them with the kernel.

    Args:
        table: Table (R, C).
        rows: Table rows (M, K * 4) of each tap, int32.
        weights: Weights (M, K * 4) of these rows, in the table's dtype or a wider one.
        kernel: Kernel (K * C, D), in the table's dtype.
        bias: Bias (D,), in the table's dtype.

    Returns:
        (M, D): for every output the sum over taps k of
        ``(sum over n of weights[k, n] * table[rows[k, n]]) @ kernel[k] + bias``.
    """
    out = table.new_empty(len(rows), kernel.size(1))
    with torch.no_grad(), torch.autocast(table.device.type, enabled=False):
        most = max(1, CHUNK_ELEMENTS // len(kernel))
        multiply, parts = prepared(kernel.t(), bias, most), even_pieces(len(rows), most)

        def fill(i: int) -> None:
            part = parts[i]
            columns = _gather(table, rows[part], weights[part])
            out[part] = multiply(columns.view(-1, len(kernel)))

        share_out(fill, len(parts))
    return out


@gathered_product.register_fake
def _(table: Tensor, rows: Tensor, weights: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    return table.new_empty(rows.size(0), kernel.size(1))


def _gather(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of neighbours (m * K, C)."""
    return F.embedding_bag(rows.view(-1, NEIGHBOURS), table, mode='sum',
                           per_sample_weights=weights.to(table.dtype).view(-1, NEIGHBOURS))


@operator('gathered_product_backward')
def _gathered_product_backward(table: Tensor, rows: Tensor, weights: Tensor, kernel: Tensor,
                               grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    sums = torch.promote_types(table.dtype, torch.float32)
    grad_table = torch.zeros_like(table, dtype=sums)
    grad_weights = torch.empty_like(weights)
    grad_kernel = TransposedSum(*kernel.shape, sums)
    with torch.no_grad(), torch.autocast(table.device.type, enabled=False):
        multiply = prepared(kernel, None, BACKWARD_CHUNK)
        for start in range(0, len(rows), BACKWARD_CHUNK):
            part = slice(start, start + BACKWARD_CHUNK)
            columns = _gather(table, rows[part], weights[part]).view(-1, len(kernel))
            grad_kernel.add(columns, grad[part])
            grad_columns = multiply(grad[part]).view(-1, table.size(1))
            grad_weights[part] = _grad_weights(grad_columns, table, rows[part])
            _add_grad_table(grad_table, grad_columns, rows[part], weights[part])
    return (grad_table.to(table.dtype), grad_weights,
            grad_kernel.total.to(kernel.dtype, memory_format=torch.contiguous_format))


@_gathered_product_backward.register_fake
def _(table: Tensor, rows: Tensor, weights: Tensor, kernel: Tensor,
      grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(table), torch.empty_like(weights), torch.empty_like(kernel)


def _grad_weights(grad_columns: Tensor, table: Tensor, rows: Tensor) -> Tensor:
    """Gradient of the weights (m, K * 4): dot products of gathered rows and their gradients."""
    flat = rows.reshape(-1)
    bag = torch.arange(len(grad_columns), dtype=rows.dtype)
    grad = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        grad_columns, table, flat, bag * NEIGHBOURS, bag.repeat_interleave(NEIGHBOURS), 0)
    return grad.view(rows.shape)


def _add_grad_table(grad_table: Tensor, grad_columns: Tensor, rows: Tensor,
                    weights: Tensor) -> None:
    """Add ``weights * grad_columns`` to the rows of the table, each row written once."""
    sorted_rows, order = rows.flatten().sort()
    first, last = int(sorted_rows[0]), int(sorted_rows[-1])
    starts = torch.bincount(sorted_rows - first, minlength=last - first + 1).cumsum(0)
    starts = F.pad(starts[:-1], (1, 0)).to(rows.dtype)
    sources = (order // NEIGHBOURS).to(rows.dtype)
    grad_table[first:last + 1] += F.embedding_bag(
        sources, grad_columns, starts, mode='sum',
        per_sample_weights=weights.flatten()[order].to(grad_columns.dtype))


def _setup_context(ctx, inputs: tuple, output: Tensor) -> None:
    table, rows, weights, kernel, _ = inputs
    ctx.save_for_backward(table, rows, weights, kernel)


def _backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    grad = grad.contiguous()
    grad_table, grad_weights, grad_kernel = torch.ops.glipkit.gathered_product_backward(
        *ctx.saved_tensors, grad)
    return grad_table, None, grad_weights, grad_kernel, grad.sum(dim=0)


gathered_product.register_autograd(_backward, setup_context=_setup_context)


@register_flop_formula(torch.ops.glipkit.gathered_product)
def _flops(table: tuple, rows: tuple, weights: tuple, kernel: tuple, *args, out_shape=None,
           **kwargs) -> int:
    return 2 * rows[0] * kernel[0] * kernel[1]


@register_flop_formula(torch.ops.glipkit.gathered_product_backward)
def _backward_flops(table: tuple, rows: tuple, weights: tuple, kernel: tuple, *args,
                    out_shape=None, **kwargs) -> int:
    return 2 * 2 * rows[0] * kernel[0] * kernel[1]
