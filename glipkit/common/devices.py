"""Tensors of the host on their way to a device."""
from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on a device; the host does not wait for what a GPU has to do before.

    A plain ``.to`` of a GPU waits until all its work is done. Here the copy is one more piece of
    that work: it starts from memory that the system does not move.

    Args:
        tensor: Tensor of any device.
        device: Where it is wanted.
    """
    device = torch.device(device)
    if device.type != 'cuda' or tensor.device.type != 'cpu':
        return tensor.to(device)
    if torch.cuda.is_available():  # else nothing computes: shapes alone are followed
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def on_gpu_of(x: Tensor) -> AbstractContextManager:
    """Makes the GPU of a tensor the current one inside the block, where it is on one."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
