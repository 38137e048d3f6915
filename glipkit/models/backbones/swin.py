"""Swin Transformer (Liu et al., ICCV 2021) whose blocks run on groups of windows.

Apart from the attention inside windows every step of a block treats each token alone. So the whole
block is computed for a few windows, then for the next ones: in inference everything but the result
fits in a processor's cache. Parameters are those of mmdet's class. B images, L =
H*W tokens, C channels, h heads, n windows of S = side**2 tokens.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.models.backbones.swin import SwinBlock, WindowMSA
from mmdet.models.backbones.swin import SwinTransformer as _SwinTransformer
from mmdet.models.layers import PatchMerging
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from glipkit.models.backbones.swin_at_once import run_block_at_once
from glipkit.models.backbones.windows import (
    OTHER_REGION,
    Windows,
    cut,
    position_bias,
    region_numbers,
    split_into_windows,
)
from glipkit.registry import MODELS

CHUNK_ELEMENTS = 1 << 20
"""Elements of the widest activation (tokens x 4 C) of a group of windows in inference."""


@MODELS.register_module()
class SwinTransformer(_SwinTransformer):
    """mmdet's Swin Transformer, computed window group by window group.

    Arguments, parameters and results are those of the base class. Maps come in channels-last
    memory.
    """

    #: See :mod:`glipkit.models.kernels.forms`.
    traceable = False

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) -> maps (B, C_i, H_i, W_i) of the stages in ``out_indices``."""
        x, size = self.patch_embed(x.contiguous(memory_format=torch.channels_last))
        if self.use_abs_pos_embed:
            x = x + self.absolute_pos_embed
        x = self.drop_after_pos(x)
        maps = []
        # Pieces fit in a processor's cache; a GPU prefers few large kernels.
        run = run_whole_block if self.traceable else run_block_at_once if x.is_cuda else run_block
        for i, stage in enumerate(self.stages):
            for block in stage.blocks:
                x = run(block, x, size)
            if i in self.out_indices:
                out = getattr(self, f'norm{i}')(x)
                maps.append(out.unflatten(1, size).permute(0, 3, 1, 2))
            if stage.downsample is not None and i < max(self.out_indices):
                x, size = merge_patches(stage.downsample, x, size)
        return tuple(maps)


def run_block(block: SwinBlock, x: Tensor, size: tuple[int, int]) -> Tensor:
    """Tokens (B, L, C) of a map of ``size`` (H, W) through one block."""
    side, shift = block.attn.window_size, block.attn.shift_size
    windows = split_into_windows(*size, side, shift, x.device)
    bias = position_bias(block.attn.w_msa)
    if torch.is_grad_enabled() and (x.requires_grad
                                    or any(p.requires_grad for p in block.parameters())):
        arguments = (block, x, windows, slice(0, None), bias)
        if block.with_cp:
            out = checkpoint(_run_windows, *arguments, use_reentrant=False)
        else:
            out = _run_windows(*arguments)
        return out.index_select(1, windows.places)
    out = torch.empty_like(x)
    count = max(1, CHUNK_ELEMENTS // (4 * x.size(2) * side**2 * len(x)))
    for start in range(0, len(windows.regions), count):
        chunk = slice(start, start + count)
        tokens = slice(start * side**2, (start + count) * side**2)
        real = windows.real[tokens]
        result = _run_windows(block, x, windows, chunk, bias)
        out[:, windows.tokens[tokens][real]] = result[:, real].to(out.dtype)
    return out


def run_whole_block(block: SwinBlock, x: Tensor, size: tuple[int, int]) -> Tensor:
    """What `run_block` gives for the same arguments, from all windows at once, without indices."""
    side, shift = block.attn.window_size, block.attn.shift_size
    height, width = size
    maps = F.pad(block.norm1(x).unflatten(1, size), (0, 0, 0, -width % side, 0, -height % side))
    bias, places = position_bias(block.attn.w_msa), maps.shape[1:3]
    if shift:
        maps = maps.roll((-shift, -shift), (1, 2))
        regions = cut(region_numbers(*places, side, shift, x.device), side)
        regions = regions.flatten(0, 1).flatten(1)
        bias = bias + (regions[:, None, :, None] != regions[:, None, None, :]) * OTHER_REGION
    windows = maps.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3)
    attended = attend_in_windows(block.attn.w_msa, windows.flatten(1, 2).flatten(2, 3), bias)
    maps = attended.view(windows.shape).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    if shift:
        maps = maps.roll((shift, shift), (1, 2))
    x = x + block.attn.drop(maps[:, :height, :width].flatten(1, 2))
    return block.ffn(block.norm2(x), identity=x)


def _run_windows(block: SwinBlock, x: Tensor, windows: Windows, chunk: slice,
                 bias: Tensor) -> Tensor:
    """Tokens (B, L, C) -> those of some windows after the block, (B, n * S, C)."""
    regions = windows.regions[chunk]
    per_window = regions.size(1)
    first = (chunk.start or 0) * per_window
    part = slice(first, first + regions.numel())
    x = x.index_select(1, windows.tokens[part])
    normed = block.norm1(x)
    if windows.padded:
        normed = normed * windows.real[part, None]
    normed = normed.unflatten(1, (-1, per_window))
    if windows.shifted:
        other = regions[:, None, :, None] != regions[:, None, None, :]
        bias = bias + other * OTHER_REGION
    attended = attend_in_windows(block.attn.w_msa, normed, bias)
    x = x + block.attn.drop(attended.flatten(1, 2))
    return block.ffn(block.norm2(x), identity=x)


def attend_in_windows(attention: WindowMSA, x: Tensor, bias: Tensor) -> Tensor:
    """Multi-head attention inside windows.

    Args:
        attention: Module with the parameters.
        x: Tokens (B, n, S, C).
        bias: Bias (1, h, S, S) or (n, h, S, S), added to the similarities.

    Returns:
        Tokens (B, n, S, C).
    """
    qkv = attention.qkv(x).unflatten(-1, (3, attention.num_heads, -1))
    # Images and windows are one batch of windows: (B * n, h, S, C / h).
    query, key, value = qkv.permute(3, 0, 1, 4, 2, 5).flatten(1, 2)
    if bias.shape[0] > 1:
        bias = bias.expand(x.shape[0], *bias.shape).flatten(0, 1)
    dropout = attention.attn_drop.p if attention.training else 0.
    out = F.scaled_dot_product_attention(query, key, value, bias.to(qkv.dtype), dropout,
                                         scale=attention.scale)
    out = out.transpose(1, 2).flatten(2).unflatten(0, x.shape[:2])
    return attention.proj_drop(attention.proj(out))


def merge_patches(merging: PatchMerging, x: Tensor,
                  size: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
    """Four neighbouring tokens become one of twice the channels.

    mmdet's layer puts the four neighbours of each channel side by side; here whole tokens stand
    side by side, and the (small) weights are reordered to match.

    Args:
        merging: Module with the parameters.
        x: Tokens (B, L, C).
        size: Size (H, W) of the map.

    Returns:
        Tokens (B, L / 4, 2 C) and the new size, rounded up.
    """
    channels = x.size(2)
    x = x.unflatten(1, size)
    x = F.pad(x, (0, 0, 0, size[1] % 2, 0, size[0] % 2))
    height, width = x.size(1) // 2, x.size(2) // 2
    x = x.view(-1, height, 2, width, 2, channels).transpose(2, 3).reshape(
        -1, height * width, 4 * channels)
    order = torch.arange(4 * channels, device=x.device).view(channels, 4).t().flatten()
    if merging.norm is not None:
        x = F.layer_norm(x, x.shape[-1:], merging.norm.weight[order], merging.norm.bias[order],
                         merging.norm.eps)
    return F.linear(x, merging.reduction.weight[:, order], merging.reduction.bias), (height, width)
