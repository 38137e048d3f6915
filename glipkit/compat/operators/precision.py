"""Computing in a precision that every kernel has."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

LOW = (torch.float16, torch.bfloat16)


def raised(tensor: Tensor) -> Tensor:
    """``tensor`` itself, or a float32 copy of a half precision one."""
    return tensor.float() if tensor.dtype in LOW else tensor


def gradients(function: Callable[..., Tensor], inputs: Sequence[Tensor],
              grad_output: Tensor) -> tuple[Tensor, ...]:
    """Gradients of ``function(*inputs)`` with respect to every input, by running it again.

    mmcv's autograd functions hand the gradient of the output to a separate operator, outside
    the graph, so the forward pass is repeated with a graph.

    Args:
        function: Differentiable in all its arguments.
        inputs: Its arguments.
        grad_output: Gradient of the output, in any floating dtype.
    """
    with torch.enable_grad(), torch.autocast(grad_output.device.type, enabled=False):
        leaves = [raised(x).detach().requires_grad_() for x in inputs]
        output = function(*leaves)
        return torch.autograd.grad(output, leaves, grad_output.to(output.dtype))
