"""Batch norm whose statistics and affine terms are fixed, folded into the convolution before it."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-5


class FrozenBatchNorm(nn.Module):
    """Batch norm in which nothing changes, in training neither: four buffers and no parameter.

    Keys are those of :class:`torch.nn.BatchNorm2d`; ``num_batches_tracked`` in a state dict is
    dropped.

    Args:
        channels: Channels C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer('weight', torch.ones(channels))
        self.register_buffer('bias', torch.zeros(channels))
        self.register_buffer('running_mean', torch.zeros(channels))
        self.register_buffer('running_var', torch.ones(channels))

    def affine(self) -> tuple[Tensor, Tensor]:
        """What the norm multiplies by and adds, both (C,)."""
        scale = self.weight * (self.running_var + EPS).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W), normalised."""
        scale, shift = self.affine()
        return x * scale[:, None, None].to(x.dtype) + shift[:, None, None].to(x.dtype)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        state_dict.pop(f'{prefix}num_batches_tracked', None)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        return str(len(self.weight))


def conv_norm(conv: nn.Conv2d, norm: nn.Module, x: Tensor) -> Tensor:
    """A convolution without bias and its norm.

    A frozen norm is a factor and an offset for each output channel: the factor goes into the
    weight, the offset becomes the bias. That is exact, saves a pass over the map and, in training,
    the memory of one.

    Args:
        conv: The convolution.
        norm: `FrozenBatchNorm` or any other norm.
        x: Maps (B, C_in, H, W).

    Returns:
        Maps (B, C_out, H', W').
    """
    if not isinstance(norm, FrozenBatchNorm):
        return norm(conv(x))
    scale, shift = norm.affine()
    return F.conv2d(x, conv.weight * scale[:, None, None, None], shift, conv.stride, conv.padding)
