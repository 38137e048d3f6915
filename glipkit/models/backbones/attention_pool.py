"""The pooling layer at the end of CLIP's ResNets: attention whose one query is the mean.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
section 2.4. Letters in shapes: R maps, C channels, S = h * w cells, n heads of E = C / n channels,
D channels of the result.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glipkit.errors import UserError


class AttentionPool(nn.Module):
    """A map becomes one vector: its mean attends to the mean and all cells.

    Args:
        grid: Cells per side of the maps that the table of positions was made for.
        channels: Channels C of the maps.
        heads: Attention heads n; must divide ``channels``.
        out_channels: Channels D of the result.
    """

    def __init__(self, grid: int, channels: int, heads: int, out_channels: int) -> None:
        super().__init__()
        if channels % heads:
            raise UserError('channels that the heads divide', f'{channels} channels, {heads} heads',
                            'change width or heads')
        self.grid, self.heads = grid, heads
        self.positional_embedding = nn.Parameter(
            torch.randn(grid**2 + 1, channels) / channels**0.5)
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.c_proj = nn.Linear(channels, out_channels)
        for layer in self.low_rank_layers():
            nn.init.normal_(layer.weight, std=channels**-0.5)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (R, C, h, w) -> vectors (R, D).

        With a single query the keys need not exist: ``q . (W x + b)`` is ``(W' q) . x + q . b``.
        Likewise the values are projected after they were averaged, as the weights sum to 1. So two
        products over all cells, of n * C each, replace two of C * C.
        """
        tokens = self.tokens(maps)
        query = self.q_proj(tokens[:, 0]).unflatten(1, (self.heads, -1))  # (R, n, E)
        folded = torch.einsum('rne,nec->rnc', query,
                              self.k_proj.weight.unflatten(0, (self.heads, -1)))
        # The softmax drops the bias, which is the same for all cells; but training on several
        # devices asks that every parameter has a gradient.
        offset = (query * self.k_proj.bias.view(self.heads, -1)).sum(-1, keepdim=True)
        scores = folded @ tokens.transpose(1, 2) + offset  # (R, n, S + 1)
        scores = scores * query.shape[-1]**-0.5
        averaged = scores.softmax(-1).to(tokens.dtype) @ tokens  # (R, n, C)
        values = torch.einsum('rnc,nec->rne', averaged,
                              self.v_proj.weight.unflatten(0, (self.heads, -1)))
        return self.c_proj(values.flatten(1) + self.v_proj.bias)

    def plain(self, maps: Tensor) -> Tensor:
        """The same as the definition says it, with all keys and values; for comparison."""
        tokens = self.tokens(maps)
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.q_proj, tokens[:, :1]), (self.k_proj, tokens),
                             (self.v_proj, tokens)))
        return self.c_proj(F.scaled_dot_product_attention(query, key, value)[:, :, 0].flatten(1))

    def tokens(self, maps: Tensor) -> Tensor:
        """The mean, then every cell, with their positions: (R, S + 1, C)."""
        cells = maps.flatten(2).transpose(1, 2)
        tokens = torch.cat([cells.mean(1, keepdim=True), cells], 1)
        return tokens + self.positions(*maps.shape[-2:]).to(tokens.dtype)

    def positions(self, height: int, width: int) -> Tensor:
        """Table of positions (h * w + 1, C); resized bilinearly for maps of another size."""
        table = self.positional_embedding
        if (height, width) == (self.grid, self.grid):
            return table
        grid = table[1:].unflatten(0, (self.grid, self.grid)).permute(2, 0, 1)[None]
        resized = F.interpolate(grid, (height, width), mode='bilinear', align_corners=False)
        return torch.cat([table[:1], resized[0].flatten(1).T])

    def low_rank_layers(self) -> list[nn.Linear]:
        """The four projections."""
        return [self.q_proj, self.k_proj, self.v_proj, self.c_proj]
