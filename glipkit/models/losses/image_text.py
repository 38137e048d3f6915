"""Contrast of whole images with their captions, over the batch of all processes."""
from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor


def image_text_contrast(images: Tensor, texts: Tensor, scale: float | Tensor = 100.) -> Tensor:
    """Symmetric contrast of B images with B texts (CLIP, figure 3; RegionCLIP, equation (5)).

    Row b of both belongs together and every other row is a negative: the mean of the
    cross-entropies over rows and over columns of ``scale * cosine``. Under torch.distributed the
    rows of all processes take part, with gradients, cut to the smallest batch of a process; every
    process gets the loss of the joined batch, and the mean of the gradients of all processes,
    which DistributedDataParallel takes, is its gradient.

    Args:
        images: (B, D) features of images; their length does not matter.
        texts: (B, D) features of texts.
        scale: One over the temperature.

    Returns:
        The loss, a scalar in float32.
    """
    images, texts = gather_rows(
        F.normalize(images.float(), dim=1), F.normalize(texts.float(), dim=1))
    logits = scale * images @ texts.T
    truth = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2


def gather_rows(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The rows of all processes, in the order of their ranks; alone, the tensors themselves.

    Every process gives as many rows as the one with the fewest; further rows are left out.

    Args:
        *tensors: Tensors (B, D) with as many rows as each other.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return tensors
    fewest = torch.tensor(len(tensors[0]), device=tensors[0].device)
    dist.all_reduce(fewest, dist.ReduceOp.MIN)
    return tuple(_Gather.apply(tensor[:int(fewest)].contiguous()) for tensor in tensors)


class _Gather(torch.autograd.Function):
    """Rows of all ranks; the gradient of a row is the sum of those that all ranks have for it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        found = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(found, rows)
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]
