"""Swin Transformer (Liu et al., ICCV 2021) whose blocks run on groups of windows.

Apart from the attention inside windows every step of a block treats each token alone. So the whole
block is computed for a few windows, then for the next ones: in inference everything but the result
fits in a processor's cache. Parameters are those of mmdet's class. B images, L =
H*W tokens, C channels, h heads, n windows of S = side**2 tokens.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmdet.models.backbones.swin import SwinBlock, WindowMSA
from mmdet.models.backbones.swin import SwinTransformer as _SwinTransformer
from mmdet.models.layers import PatchMerging
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from glipkit.common.cores import even_pieces, share_out
from glipkit.common.linear import Linear, linear, prepared
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

CHUNK_ELEMENTS = 1 << 19
"""Most elements of the widest activation (tokens x 4 C) of a group of windows in inference."""


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
        arguments = (block, x, windows, slice(0, len(windows)), bias)
        if block.with_cp:
            out = checkpoint(_run_windows, *arguments, use_reentrant=False)
        else:
            out = _run_windows(*arguments)
        return out.index_select(1, windows.ranks)
    out = torch.empty_like(x)
    most = max(1, CHUNK_ELEMENTS // (4 * x.size(2) * side**2 * len(x)))
    chunks = even_pieces(len(windows), most)
    layers = BlockLayers.of(block, chunks[0].stop * side**2 * len(x))

    def run_group(i: int) -> None:
        chunk = chunks[i]
        result = _run_windows(block, x, windows, chunk, bias, layers).to(out.dtype)
        out.index_copy_(1, windows.real_tokens_of(chunk)[0], result)

    share_out(run_group, len(chunks))
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
    layers = BlockLayers.of(block, maps[..., 0].numel())
    attended = attend_in_windows(block.attn.w_msa, layers.qkv,
                                 windows.flatten(1, 2).flatten(2, 3), bias)
    attended = block.attn.w_msa.proj_drop(layers.proj(attended))
    maps = attended.view(windows.shape).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    if shift:
        maps = maps.roll((shift, shift), (1, 2))
    x = x + block.attn.drop(maps[:, :height, :width].flatten(1, 2))
    return block.ffn(block.norm2(x), identity=x)


@dataclass(frozen=True)
class BlockLayers:
    """The four linear layers of a block, ready for several groups of windows."""
    qkv: Linear
    proj: Linear
    widen: Linear
    narrow: Linear

    @classmethod
    def of(cls, block: SwinBlock, rows: int) -> BlockLayers:
        """Those of a block, for ``rows`` tokens at a time."""
        attention, ffn = block.attn.w_msa, block.ffn.layers
        return cls(*(prepared(layer.weight, layer.bias, rows)
                     for layer in (attention.qkv, attention.proj, ffn[0][0], ffn[1])))


def _run_windows(block: SwinBlock, x: Tensor, windows: Windows, chunk: slice, bias: Tensor,
                 layers: BlockLayers | None = None) -> Tensor:
    """Tokens (B, L, C) -> those of the map in some windows after the block, (B, R, C).

    What lies beyond the map is a token of zeros for the attention, and nothing elsewhere.
    """
    tokens, slots = windows.real_tokens_of(chunk)
    x = x.index_select(1, tokens)
    layers = layers or BlockLayers.of(block, x.size(0) * x.size(1))
    normed = block.norm1(x)
    if slots is not None:
        count = windows.regions[chunk].numel()
        normed = normed.new_zeros(x.size(0), count, x.size(2)).index_copy(1, slots, normed)
    normed = normed.unflatten(1, (chunk.stop - chunk.start, -1))
    # Where nothing is masked all windows share one bias, which need not be written out for each.
    whole = max(0, windows.whole - chunk.start)
    parts = [normed[:, :whole], normed[:, whole:]]
    biases = [bias, bias + windows.mask_of(slice(chunk.start + whole, chunk.stop))]
    attended = [attend_in_windows(block.attn.w_msa, layers.qkv, part, part_bias)
                for part, part_bias in zip(parts, biases) if part.numel()]
    attended = (torch.cat(attended, dim=1) if len(attended) > 1 else attended[0]).flatten(1, 2)
    if slots is not None:
        attended = attended.index_select(1, slots)
    x = _add_branch(layers.proj, attended, x, block.attn.w_msa.proj_drop, block.attn.drop)
    return _feed_forward(block, layers, block.norm2(x), x)


def _add_branch(layer: Linear, branch: Tensor, x: Tensor, *dropouts: nn.Module) -> Tensor:
    """``x`` plus a branch after its last layer, in one pass where nothing is dropped."""
    if not any(dropout.training for dropout in dropouts):
        return layer(branch, residual=x)
    branch = layer(branch)
    for dropout in dropouts:
        branch = dropout(branch)
    return x + branch


def _feed_forward(block: SwinBlock, layers: BlockLayers, x: Tensor, identity: Tensor) -> Tensor:
    (_, activate, first_drop), _, second_drop = block.ffn.layers
    if isinstance(activate, nn.GELU) and activate.approximate == 'none':
        hidden = layers.widen(x, 'gelu')
    else:
        hidden = activate(layers.widen(x))
    return _add_branch(layers.narrow, first_drop(hidden), identity, second_drop,
                       block.ffn.dropout_layer)


def attend_in_windows(attention: WindowMSA, qkv: Linear, x: Tensor, bias: Tensor) -> Tensor:
    """Multi-head attention inside windows, up to, not including, the last projection.

    Args:
        attention: Module with the settings.
        qkv: Its projections to queries, keys and values.
        x: Tokens (B, n, S, C).
        bias: Bias (1, h, S, S) or (n, h, S, S), added to the similarities.

    Returns:
        Tokens (B, n, S, C).
    """
    qkv = qkv(x).unflatten(-1, (3, attention.num_heads, -1))
    # Images and windows are one batch of windows: (B * n, h, S, C / h).
    query, key, value = qkv.permute(3, 0, 1, 4, 2, 5).flatten(1, 2)
    if bias.shape[0] > 1:
        bias = bias.expand(x.shape[0], *bias.shape).flatten(0, 1)
    dropout = attention.attn_drop.p if attention.training else 0.
    out = F.scaled_dot_product_attention(query, key, value, bias.to(qkv.dtype), dropout,
                                         scale=attention.scale)
    return out.transpose(1, 2).flatten(2).unflatten(0, x.shape[:2])


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
    if size[0] % 2 or size[1] % 2:
        x = F.pad(x, (0, 0, 0, size[1] % 2, 0, size[0] % 2))
    height, width = x.size(1) // 2, x.size(2) // 2
    x = x.view(-1, height, 2, width, 2, channels).transpose(2, 3).reshape(
        -1, height * width, 4 * channels)
    order = torch.arange(4 * channels, device=x.device).view(channels, 4).t().flatten()
    if merging.norm is not None:
        x = F.layer_norm(x, x.shape[-1:], merging.norm.weight[order], merging.norm.bias[order],
                         merging.norm.eps)
    return linear(x, merging.reduction.weight[:, order], merging.reduction.bias), (height, width)
