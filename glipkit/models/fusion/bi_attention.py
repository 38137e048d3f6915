"""Bi-directional cross attention between visual positions and text tokens (X-MHA).

GLIP section 3.2, equations (4)-(6), in the form of the official code. B images, N visual positions
over all levels, T tokens, h heads, d head width, C_v and C_l the widths of the two sides.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from glipkit.common.linear import batched_linear, linear_layer
from glipkit.models.fusion.attention_maps import attend_at_once
from glipkit.models.kernels.chunked_attention import attend_both_ways
from glipkit.registry import MODELS
from glipkit.text.structures import TextFeatures


@MODELS.register_module()
class BiAttention(nn.Module):
    """One layer of deep fusion: both sides attend to each other through one similarity matrix.

    Three of the four visual projections are moved to the text side, which is exact and much
    cheaper because N is thousands and T tens: a head's keys become ``W_q^T k`` in visual space,
    its values become ``W_out v``, and the text attends to the visual positions first and projects
    the context afterwards. No (N x embed_dim) tensor exists.

    Two properties of the official code that trained weights rely on: the residual adds to the
    *layer-normed* inputs, and padded image area takes part in the text side's softmax.

    Args:
        visual_dim: Channels C_v of every feature map.
        text_dim: Width C_l of the text features.
        embed_dim: Width of the joint space, ``num_heads * head width``.
        num_heads: Number of heads h.
        dropout: Dropout rate of both attention maps, in training.
        init_gamma: Initial layer scale of both residual branches (1 / number of blocks).
        max_logit: Bound: similarities are clamped to +- this value, a guard for half precision.
    """

    #: See :mod:`glipkit.models.kernels.forms`.
    traceable = False

    def __init__(self,
                 visual_dim: int = 256,
                 text_dim: int = 768,
                 embed_dim: int = 2048,
                 num_heads: int = 8,
                 dropout: float = 0.1,
                 init_gamma: float = 1 / 6,
                 max_logit: float = 50000.) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f'embed_dim {embed_dim} is no multiple of num_heads {num_heads}')
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.max_logit = max_logit
        self.layer_norm_v = nn.LayerNorm(visual_dim)
        self.layer_norm_l = nn.LayerNorm(text_dim)
        self.v_proj = nn.Linear(visual_dim, embed_dim)
        self.l_proj = nn.Linear(text_dim, embed_dim)
        self.values_v_proj = nn.Linear(visual_dim, embed_dim)
        self.values_l_proj = nn.Linear(text_dim, embed_dim)
        self.out_v_proj = nn.Linear(embed_dim, visual_dim)
        self.out_l_proj = nn.Linear(embed_dim, text_dim)
        self.gamma_v = nn.Parameter(torch.full((visual_dim, ), float(init_gamma)))
        self.gamma_l = nn.Parameter(torch.full((text_dim, ), float(init_gamma)))
        self.dropout = dropout
        for layer in self.children():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def low_rank_layers(self) -> list[nn.Linear]:
        """All projections."""
        return [layer for layer in self.children() if isinstance(layer, nn.Linear)]

    def forward(self, levels: Sequence[Tensor],
                text: TextFeatures) -> tuple[list[Tensor], TextFeatures]:
        """Fuse feature maps and tokens.

        Args:
            levels: Maps (B, C_v, H_i, W_i), finest first.
            text: Hidden states (B, T, C_l) and mask (B, T).

        Returns:
            Maps, in channels-last memory, and text features of the same shapes. Padded tokens
            change no real output.
        """
        shapes = [level.shape[-2:] for level in levels]
        visual = torch.cat([level.permute(0, 2, 3, 1).flatten(1, 2) for level in levels], dim=1)
        visual, hidden = self.attend(visual, text.hidden, text.mask)
        parts = visual.split([h * w for h, w in shapes], dim=1)
        levels = [part.unflatten(1, tuple(shape)).permute(0, 3, 1, 2)
                  for part, shape in zip(parts, shapes)]
        return levels, TextFeatures(hidden, text.mask)

    def attend(self, visual: Tensor, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The attention itself on flat positions.

        Args:
            visual: Positions (B, N, C_v).
            hidden: Tokens (B, T, C_l).
            mask: Mask (B, T), True at real tokens.

        Returns:
            Updated visual (B, N, C_v) and hidden (B, T, C_l).
        """
        visual, hidden = self.layer_norm_v(visual), self.layer_norm_l(hidden)
        keys, offset = self._keys(hidden)
        values = self.gamma_v * self._values(hidden)
        bias = self.gamma_v * self.out_v_proj.bias
        # The chunked form keeps tensors in a processor's cache; a GPU prefers few large kernels.
        attention = attend_at_once if visual.is_cuda or self.traceable \
            else attend_both_ways
        visual, context, mass = attention(
            visual.to(keys.dtype), keys, *(x.to(keys.dtype) for x in (offset, values, bias)), mask,
            self.num_heads, self.max_logit, self.dropout if self.training else 0.)
        return visual, hidden + self.gamma_l * self._project_context(context, mass)

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, h*d) -> (B, T, h, d)."""
        return x.unflatten(-1, (self.num_heads, self.head_dim))

    def _keys(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, T, C_l) -> scaled keys in visual space (B, C_v, h*T) and offsets (B, h*T).

        With them equation (4) is one product with the visual positions.
        """
        keys = self._heads(linear_layer(self.l_proj, hidden)) * self.head_dim**-0.5
        weight = self.v_proj.weight.unflatten(0, (self.num_heads, self.head_dim))
        bias = self.v_proj.bias.unflatten(0, (self.num_heads, self.head_dim))
        folded = batched_linear(keys.transpose(1, 2), weight.transpose(1, 2)).flatten(1, 2)
        offset = torch.einsum('bthd,hd->bht', keys, bias).flatten(1)
        return folded.transpose(1, 2), offset

    def _values(self, hidden: Tensor) -> Tensor:
        """Tokens (B, T, C_l) -> values in visual space (B, h*T, C_v), for equation (5)."""
        values = self._heads(linear_layer(self.values_l_proj, hidden))
        weight = self.out_v_proj.weight.unflatten(1, (self.num_heads, self.head_dim))
        return batched_linear(values.transpose(1, 2), weight.transpose(0, 1)).flatten(1, 2)

    def _project_context(self, context: Tensor, mass: Tensor) -> Tensor:
        """Attended visual features (B, h*T, C_v) -> update (B, T, C_l), equation (6)."""
        context, mass = (x.unflatten(1, (self.num_heads, -1)) for x in (context, mass))
        weight = self.values_v_proj.weight.unflatten(0, (self.num_heads, self.head_dim))
        bias = self.values_v_proj.bias.unflatten(0, (self.num_heads, self.head_dim))
        values = batched_linear(context, weight).transpose(1, 2)
        # With dropout a row's weights do not sum to one, so the bias is scaled by their sum.
        mass = mass.transpose(1, 2).unsqueeze(-1)
        values = values + mass.to(values.dtype) * bias
        return linear_layer(self.out_l_proj, values.flatten(2))
