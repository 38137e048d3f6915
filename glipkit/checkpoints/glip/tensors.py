"""The few places where two layouts hold the same numbers in another order or shape."""
from __future__ import annotations

import torch
from torch import Tensor

from glipkit.checkpoints.key_table import Change

# Swin's patch merging concatenates its four neighbours as (0,0), (1,0), (0,1), (1,1), each with
# all its channels (official Swin code). mmdet reads them with nn.Unfold: channel by channel, and
# within a channel row by row. Swapping the middle two is its own inverse.
_ROW_MAJOR = [0, 2, 1, 3]


def merge_to_unfold(tensor: Tensor) -> Tensor:
    """Patch-merge weights from the official order to mmdet's.

    Args:
        tensor: ``(2C, 4C)`` reduction weight, or ``(4C,)`` norm weight or bias.

    Returns:
        The same shape, last axis re-ordered.
    """
    blocks = tensor.reshape(*tensor.shape[:-1], 4, -1)[..., _ROW_MAJOR, :]
    return blocks.transpose(-1, -2).reshape(tensor.shape).contiguous()


def unfold_to_merge(tensor: Tensor) -> Tensor:
    """The inverse of :func:`merge_to_unfold`."""
    blocks = tensor.reshape(*tensor.shape[:-1], -1, 4).transpose(-1, -2)
    return blocks[..., _ROW_MAJOR, :].reshape(tensor.shape).contiguous()


PATCH_MERGE = Change('re-ordered', merge_to_unfold, unfold_to_merge)
"""Official Swin patch merging <-> mmdet's."""

SCALAR = Change('re-shaped', lambda t: t.reshape(()), lambda t: t)
"""A level's box scale: one element with an axis in official files, none in mmcv's Scale.

The way back is a matter of the file, not of the tensor: see ``layouts.from_own``.
"""


def relative_position_index(window: int) -> Tensor:
    """Swin's buffer that looks up the bias of each pair of positions of a window.

    Args:
        window: Side of the window, in patches.

    Returns:
        ``(window**2, window**2)`` int64, equal in the official code and in mmdet.
    """
    span = 2 * window - 1
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing='ij')
    y, x = y.reshape(-1), x.reshape(-1)
    rows = y[:, None] - y[None, :] + window - 1
    columns = x[:, None] - x[None, :] + window - 1
    return rows * span + columns
