"""A block of Swin on all windows at once: few large kernels, as a GPU prefers them.

B images, L = H*W tokens, C channels, h heads, n windows of S = side**2 tokens.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.models.backbones.swin import SwinBlock, WindowMSA
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from glipkit.models.backbones.windows import (
    OTHER_REGION,
    Windows,
    position_bias,
    split_into_windows,
)

ALIGNED = 8
"""Rows of a mask begin at multiples of this, else PyTorch copies all of it in every call."""


def run_block_at_once(block: SwinBlock, x: Tensor, size: tuple[int, int]) -> Tensor:
    """Tokens (B, L, C) of a map of ``size`` (H, W) through one block, with or without gradients.

    Padding, shift and cutting into windows are one gather, and so is the way back. The host never
    waits for the device.
    """
    windows = split_into_windows(*size, block.attn.window_size, block.attn.shift_size, x.device)
    if block.with_cp and torch.is_grad_enabled():
        return checkpoint(_run, block, x, windows, use_reentrant=False)
    return _run(block, x, windows)


def _run(block: SwinBlock, x: Tensor, windows: Windows) -> Tensor:
    attention = block.attn.w_msa
    normed = block.norm1(x)
    if torch.is_autocast_enabled(x.device.type):  # before the gather, which moves half as much then
        normed = normed.to(torch.get_autocast_dtype(x.device.type))
    tokens, real = windows.all_tokens()
    inside = normed.index_select(1, tokens)
    if windows.padded:
        inside = inside * real[:, None]
    qkv = attention.qkv(inside).view(-1, windows.regions.size(1), 3, attention.num_heads,
                                     x.size(2) // attention.num_heads)
    query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (B * n, h, S, C / h) each
    mask = attention_mask(attention, windows, len(x), query.dtype)
    out = F.scaled_dot_product_attention(
        query, key, value, mask, attention.attn_drop.p if attention.training else 0.,
        scale=attention.scale)
    out = attention.proj(out.transpose(1, 2).reshape(len(x), -1, x.size(2)))
    out = attention.proj_drop(out).index_select(1, windows.places)
    x = x + block.attn.drop(out)
    return block.ffn(block.norm2(x), identity=x)


def attention_mask(attention: WindowMSA, windows: Windows, batch: int,
                   dtype: torch.dtype) -> Tensor:
    """What is added to the similarities: position bias, and less between different regions.

    Returns:
        (1, h, S, S), or (B * n, h, S, S) where there are regions, in ``dtype``; a view whose rows
        are aligned.
    """
    regions = windows.regions
    side = regions.size(1)
    extra = -side % ALIGNED
    bias = F.pad(position_bias(attention), (0, extra))
    if windows.shifted:
        # In the wider type first, so that the sum is rounded once.
        apart = (bias + OTHER_REGION).to(dtype)
        other = regions[:, None, :, None] != F.pad(regions, (0, extra))[:, None, None, :]
        bias = torch.where(other.expand(batch, *other.shape), apart, bias.to(dtype)).flatten(0, 1)
    return bias.to(dtype)[..., :side]
