"""Linear layers on processors through oneDNN, with what follows them in the same pass.

PyTorch multiplies float32 matrices with Intel's MKL, which on other makers' processors keeps to
AVX2: on a core with AVX-512 oneDNN is more than twice as fast, and with AVX2 a tenth and more. It
also adds a residual or applies GELU to a result that is still in a register. oneDNN comes with
PyTorch's wheels; ``torch.backends.mkldnn.flags(enabled=False)`` goes back to MKL.

M rows, I channels in, O channels out.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.flop_counter import register_flop_formula

LEAST_OPERATIONS = 4e6
"""Products of fewer operations (2 M I O) stay with PyTorch: the call itself would take longer."""

ACTIVATIONS = {'none': (lambda x: x, ''), 'gelu': (F.gelu, 'none')}
"""Name -> the function, and oneDNN's algorithm for it. GELU is the exact one, with erf."""

_available = hasattr(torch.ops.mkldnn, '_linear_pointwise')
LINEAR_OPERATORS = {torch.ops.mkldnn._linear_pointwise.default} if _available else set()
"""Operators of oneDNN that products with gradients call, for rules about operators; their second
argument is the weight (O, I)."""


@dataclass(frozen=True)
class Linear:
    """A linear layer that is ready for several calls.

    Attributes:
        weight: (O, I), or oneDNN's own form of it.
        bias: (O,), or None.
        packed: Whether the weight has oneDNN's own form: then without gradients, outside autocast.
    """
    weight: Tensor
    bias: Tensor | None
    packed: bool = False

    def __call__(self, x: Tensor, activation: str = 'none',
                 residual: Tensor | None = None) -> Tensor:
        """See :func:`linear`."""
        if self.packed:
            return _onednn(x.to(self.weight.dtype), self.weight, self.bias, activation, residual)
        return linear(x, self.weight, self.bias, activation, residual)


def prepared(weight: Tensor, bias: Tensor | None, rows: int) -> Linear:
    """A layer for several calls; where oneDNN computes it, its weight is laid out once.

    Args:
        weight: (O, I), in any strides.
        bias: (O,), or None.
        rows: Rows M of a usual call.
    """
    dtype = _compute_dtype(weight)
    if _needs_gradient(weight, bias) or not (
            _plain(weight, dtype) and _suits(weight, rows * weight.size(0), dtype)):
        return Linear(weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype), rows)
    return Linear(packed, None if bias is None else bias.detach().to(dtype), packed=True)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = 'none',
           residual: Tensor | None = None) -> Tensor:
    """``activation(x @ weight.T + bias) + residual``, with autocast as `F.linear`.

    Args:
        x: (..., I).
        weight: (O, I), in any strides.
        bias: (O,), or None.
        activation: A key of :data:`ACTIVATIONS`.
        residual: (..., O), or None; not together with an activation.

    Returns:
        (..., O). With a residual, in the wider dtype of both.
    """
    dtype = _compute_dtype(weight)
    if not (_plain(x, dtype)
            and _suits(weight, x.numel() // max(x.size(-1), 1) * weight.size(0), dtype)):
        y = ACTIVATIONS[activation][0](F.linear(x, weight, bias))
        return y if residual is None else residual + y
    if _needs_gradient(x, weight, bias, residual):
        y = ACTIVATIONS[activation][0](_Product.apply(x.to(dtype), weight.to(dtype), bias))
        return y if residual is None else residual + y
    return _onednn(x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype),
                   activation, residual)


def linear_layer(layer: nn.Linear, x: Tensor, activation: str = 'none',
                 residual: Tensor | None = None) -> Tensor:
    """:func:`linear` with the weight and bias of a layer."""
    return linear(x, layer.weight, layer.bias, activation, residual)


def batched_linear(x: Tensor, weights: Tensor) -> Tensor:
    """Products of each group with a weight of its own, ``x @ weights.transpose(1, 2)``.

    Args:
        x: (B, h, T, I).
        weights: (h, O, I), in any strides.

    Returns:
        (B, h, T, O).
    """
    dtype = _compute_dtype(weights)
    if not (_plain(x, dtype)
            and _suits(weights[0], x.size(0) * x.size(2) * weights.size(1), dtype)):
        return x @ weights.transpose(1, 2)
    return torch.stack([linear(x[:, i], weight) for i, weight in enumerate(weights)], dim=1)


def _compute_dtype(x: Tensor) -> torch.dtype:
    """The dtype in which a processor computes products of ``x``."""
    if torch.is_autocast_enabled('cpu') and x.dtype != torch.float64:  # which autocast leaves alone
        return torch.get_autocast_dtype('cpu')
    return x.dtype


def _suits(weight: Tensor, outputs: int, dtype: torch.dtype) -> bool:
    """Whether oneDNN is there for a product of so many numbers, and pays."""
    if not (_available and weight.device.type == 'cpu' and torch.backends.mkldnn.enabled):
        return False
    known = dtype == torch.float32 or \
        dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return known and 2. * outputs * weight.size(1) >= LEAST_OPERATIONS


def _plain(x: Tensor, dtype: torch.dtype) -> bool:
    """Whether ``x`` is a tensor of memory, and F.linear would take it in this dtype too."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False  # compilers and exporters know the common operator
    fits = _compute_dtype(x) == dtype
    return fits and type(x) in (Tensor, nn.Parameter) and x.device.type == 'cpu'


def _needs_gradient(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str,
            residual: Tensor | None) -> Tensor:
    run = torch.ops.mkldnn._linear_pointwise
    x, weight = _dense(x), _dense(weight)
    if residual is not None and residual.dtype == x.dtype:
        return run.binary(x, residual, weight, bias, 'add')
    y = run(x, weight, bias, activation, [], ACTIVATIONS[activation][1])
    return y if residual is None else residual + y


def _dense(x: Tensor) -> Tensor:
    """``x`` without gaps between its rows or columns, for which oneDNN has slow code alone."""
    if x.is_mkldnn or x.is_contiguous() or (x.dim() == 2 and x.t().is_contiguous()):
        return x
    return x.contiguous()


class _Product(torch.autograd.Function):
    """``x @ weight.T + bias`` and its gradients, all of them products of oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.bias_dtype = None if bias is None else bias.dtype
        return _onednn(x, weight, bias, 'none', None)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rows, grads = x.flatten(0, -2), grad.flatten(0, -2)
        for_x, for_weight, for_bias = ctx.needs_input_grad
        return (_onednn(grad, weight.t(), None, 'none', None) if for_x else None,
                transposed_product(grads, rows) if for_weight else None,
                grads.sum(0, dtype=ctx.bias_dtype) if for_bias else None)


def transposed_product(a: Tensor, b: Tensor) -> Tensor:
    """``a.T @ b`` of (M, O) and (M, I), in their dtype and without gradients."""
    if not _suits(a.t(), a.size(1) * b.size(1), a.dtype):
        return a.t() @ b
    if a.size(1) > b.size(1):  # oneDNN is faster with few rows and many columns
        return _onednn(b.t(), a.t(), None, 'none', None).t()
    return _onednn(a.t(), b.t(), None, 'none', None)


class TransposedSum:
    """The sum of ``a.T @ b`` over parts of the rows, without gradients.

    Args:
        rows: Columns O of each ``a``.
        columns: Columns I of each ``b``.
        dtype: Dtype of the sum, that of the parts or a wider one.
    """

    def __init__(self, rows: int, columns: int, dtype: torch.dtype) -> None:
        # In the memory layout in which transposed_product gives its results.
        self.total = torch.zeros(columns, rows, dtype=dtype).t() if rows > columns \
            else torch.zeros(rows, columns, dtype=dtype)

    def add(self, a: Tensor, b: Tensor) -> None:
        """Adds the product of (M, O) and (M, I)."""
        self.total += transposed_product(a, b)


if _available:
    @register_flop_formula(torch.ops.mkldnn._linear_pointwise)
    def _flops(x: tuple, *rest: Any, out_shape: Any = None, **kwargs: Any) -> int:
        total = 2 * x[-1]
        for size in out_shape:
            total *= size
        return total
