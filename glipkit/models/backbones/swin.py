"""Swin Transformer (Liu et al., ICCV 2021) whose blocks run on groups of windows.

Apart from the attention inside windows every step of a block treats each token alone. So the whole
block is computed for a few windows, then for the next ones: in inference everything but the result
fits in a processor's cache. Parameters are those of mmdet's class. B images, L =
H*W tokens, C channels, h heads, n windows of S = side**2 tokens.
"""
from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from mmdet.models.backbones.swin import SwinBlock, WindowMSA
from mmdet.models.backbones.swin import SwinTransformer as _SwinTransformer
from mmdet.models.layers import PatchMerging
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from glipkit.registry import MODELS

CHUNK_ELEMENTS = 1 << 20
"""Elements of the widest activation (tokens x 4 C) of a group of windows in inference."""

OTHER_REGION = -100.
"""Added to the similarity of two tokens that are neighbours only through the cyclic shift."""


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
        maps, run = [], run_whole_block if self.traceable else run_block
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
        regions = _cut(region_numbers(*places, side, shift, x.device), side)
        regions = regions.flatten(0, 1).flatten(1)
        bias = bias + (regions[:, None, :, None] != regions[:, None, None, :]) * OTHER_REGION
    windows = maps.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3)
    attended = attend_in_windows(block.attn.w_msa, windows.flatten(1, 2).flatten(2, 3), bias)
    maps = attended.view(windows.shape).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    if shift:
        maps = maps.roll((shift, shift), (1, 2))
    x = x + block.attn.drop(maps[:, :height, :width].flatten(1, 2))
    return block.ffn(block.norm2(x), identity=x)


class Windows:
    """Distribution of the tokens of a map over windows, in the order of the windows.

    Attributes:
        tokens: (n * S,) index of each token; 0 where the window reaches beyond the map.
        real: (n * S,) False where the window reaches beyond the map.
        places: (L,) index of each token of the map in ``tokens``.
        regions: (n, S) region of each token; different regions do not attend to each other.
        shifted: Whether there are different regions.
    """

    def __init__(self, tokens: Tensor, regions: Tensor, count: int, shifted: bool) -> None:
        self.real = tokens >= 0
        self.tokens = tokens.clamp(min=0)
        self.places = torch.empty(count, dtype=torch.long, device=tokens.device)
        self.places[tokens[self.real]] = self.real.nonzero().flatten()
        self.regions = regions
        self.shifted = shifted
        self.padded = not bool(self.real.all())


@lru_cache(maxsize=32)
def split_into_windows(height: int, width: int, side: int, shift: int,
                       device: torch.device) -> Windows:
    """Pad (H, W) to multiples of ``side``, roll by ``-shift`` and cut into windows."""
    index = torch.arange(height * width, device=device).view(height, width)
    index = F.pad(index, (0, -width % side, 0, -height % side), value=-1)
    if shift:
        index = index.roll((-shift, -shift), dims=(0, 1))
    regions = region_numbers(*index.shape, side, shift, device)
    return Windows(_cut(index, side).flatten(), _cut(regions, side).flatten(0, 1).flatten(1),
                   height * width, shift > 0)


def region_numbers(height: int, width: int, side: int, shift: int, device: torch.device) -> Tensor:
    """(H, W), which tokens of a rolled map of whole windows were neighbours before: equal numbers.
    """
    regions = torch.zeros(height, width, dtype=torch.long, device=device)
    for axis, length in enumerate((height, width) if shift else ()):
        position = torch.arange(length, device=device)
        part = (position >= length - side).long() + (position >= length - shift).long()
        regions = 3 * regions + (part[:, None] if axis == 0 else part)
    return regions


def _cut(places: Tensor, side: int) -> Tensor:
    """(H, W) -> windows (H / side, W / side, side, side)."""
    return places.unflatten(1, (-1, side)).unflatten(0, (-1, side)).transpose(1, 2)


def position_bias(attention: WindowMSA) -> Tensor:
    """Relative position bias (1, h, S, S)."""
    index = attention.relative_position_index
    bias = attention.relative_position_bias_table[index.flatten()]
    return bias.view(*index.shape, -1).permute(2, 0, 1).contiguous()[None]


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
