"""Focal losses (Lin et al. 2017) with hard labels, forward and gradient in closed form.

``target`` (N,) holds class indices; a row whose index is not a class (background) counts all its
classes as negative in the sigmoid form and costs nothing in the softmax form. ``weight`` is (C,)
per class of the row's target, or empty for none; background rows have weight 1.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from glipkit.compat.operators.precision import raised


def _row_weight(weight: Tensor, target: Tensor, num_classes: int, dtype: torch.dtype) -> Tensor:
    """Weight of each row (N,)."""
    ones = torch.ones(target.shape, dtype=dtype, device=target.device)
    if not weight.numel():
        return ones
    real = (target >= 0) & (target < num_classes)
    return torch.where(real, weight.to(dtype)[target.clamp(0, num_classes - 1)], ones)


def _one_hot(target: Tensor, num_classes: int) -> Tensor:
    return target[:, None] == torch.arange(num_classes, device=target.device)


def sigmoid_focal_loss_forward(input: Tensor, target: Tensor, weight: Tensor, output: Tensor,
                               gamma: float, alpha: float) -> None:
    """Loss of each logit; ``input`` and ``output`` are (N, C)."""
    x = raised(input)
    p = x.sigmoid()
    positive = -alpha * (1 - p)**gamma * F.logsigmoid(x)
    negative = -(1 - alpha) * p**gamma * F.logsigmoid(-x)
    loss = torch.where(_one_hot(target, x.shape[1]), positive, negative)
    output.copy_(loss * _row_weight(weight, target, x.shape[1], x.dtype)[:, None])


def sigmoid_focal_loss_backward(input: Tensor, target: Tensor, weight: Tensor,
                                grad_input: Tensor, gamma: float, alpha: float) -> None:
    """Derivative of each loss by its logit, written to ``grad_input`` (N, C)."""
    x = raised(input)
    p = x.sigmoid()
    positive = -alpha * (1 - p)**gamma * (1 - p - gamma * p * F.logsigmoid(x))
    negative = -(1 - alpha) * p**gamma * (gamma * (1 - p) * F.logsigmoid(-x) - p)
    grad = torch.where(_one_hot(target, x.shape[1]), positive, negative)
    grad_input.copy_(grad * _row_weight(weight, target, x.shape[1], x.dtype)[:, None])


def _target_probability(softmax: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Probability of each row's target, and which rows have one."""
    num_classes = softmax.shape[1]
    real = (target >= 0) & (target < num_classes)
    probability = softmax.gather(1, target.clamp(0, num_classes - 1)[:, None])[:, 0]
    # The compiled operator takes the logarithm of no less than the smallest normal number.
    return probability.clamp(min=torch.finfo(softmax.dtype).tiny), real


def softmax_focal_loss_forward(input: Tensor, target: Tensor, weight: Tensor, output: Tensor,
                               gamma: float, alpha: float) -> None:
    """Loss of each row (N,); ``input`` holds probabilities (N, C), not logits."""
    softmax = raised(input)
    p, real = _target_probability(softmax, target)
    loss = -alpha * (1 - p)**gamma * p.log() * real
    output.copy_(loss * _row_weight(weight, target, softmax.shape[1], softmax.dtype))


def softmax_focal_loss_backward(input: Tensor, target: Tensor, weight: Tensor, buff: Tensor,
                                grad_input: Tensor, gamma: float, alpha: float) -> None:
    """Derivative of each row's loss by the logits, written to ``grad_input`` (N, C).

    Args:
        input: Probabilities (N, C).
        buff: (N,) scratch, overwritten with the factor that the row's classes share.
    """
    softmax = raised(input)
    p, real = _target_probability(softmax, target)
    # Where p is 1, 0 ** (gamma - 1) times log(1) is infinite times zero; its limit is zero.
    rest = (1 - p).clamp(min=torch.finfo(softmax.dtype).tiny)
    shared = alpha * real * (gamma * rest**(gamma - 1) * p * p.log() - (1 - p)**gamma)
    shared = shared * _row_weight(weight, target, softmax.shape[1], softmax.dtype)
    buff.copy_(shared)
    hot = _one_hot(target, softmax.shape[1])
    grad_input.copy_(shared[:, None] * (hot.to(softmax.dtype) - softmax))
