"""The transformer layers of CLIP, of its texts and of OpenAI's image towers.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
section 2.4. Parameter names are the official ones. Letters in shapes: B texts or images, T tokens,
C channels, h heads.
"""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glipkit.common.linear import linear, linear_layer


def quick_gelu(x: Tensor) -> Tensor:
    """The approximation of GELU that OpenAI's weights were trained with."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {'quick_gelu': quick_gelu, 'gelu': F.gelu}


KeysValues = tuple[Tensor, Tensor]


class ClipAttention(nn.Module):
    """Multi-head self-attention with one table for query, key and value.

    Args:
        width: Channels C.
        heads: Attention heads h.
        causal: Whether a token sees only those before it, as in a text.
    """

    def __init__(self, width: int, heads: int, causal: bool = True) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) * width**-0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, before: KeysValues | None = None) -> tuple[Tensor, KeysValues]:
        """Attends to all tokens, or to those so far.

        Args:
            x: Tokens (B, T, C).
            before: Keys and values (1, h, P, C / h) of P tokens that stand before those of every
                text.

        Returns:
            Tokens (B, T, C), and the keys and values (B, h, P + T, C / h).
        """
        qkv = linear(x, self.in_proj_weight, self.in_proj_bias)
        query, *own = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if before is None:
            out = F.scaled_dot_product_attention(query, *own, is_causal=self.causal)
        else:
            own = [torch.cat([old.expand(len(x), -1, -1, -1), new], 2)
                   for old, new in zip(before, own)]
            seen = torch.ones(query.shape[2], own[0].shape[2], dtype=torch.bool, device=x.device)
            out = F.scaled_dot_product_attention(
                query, *own, attn_mask=seen.tril(before[0].shape[2]))
        return linear_layer(self.out_proj, out.transpose(1, 2).flatten(2)), tuple(own)

    def values(self, x: Tensor) -> Tensor:
        """What each token (B, T, C) gives when it sees itself alone, (B, T, C)."""
        size = x.shape[-1]
        values = linear(x, self.in_proj_weight[2 * size:], self.in_proj_bias[2 * size:])
        return linear_layer(self.out_proj, values)

    def low_rank_layers(self) -> list[nn.Linear]:
        """The output projection."""
        return [self.out_proj]


class ClipLayer(nn.Module):
    """A pre-norm layer: attention, then two projections of four times the width."""

    def __init__(self, width: int, heads: int, activation: Callable[[Tensor], Tensor],
                 causal: bool = True) -> None:
        super().__init__()
        self.activation = activation
        self.attn = ClipAttention(width, heads, causal)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict(OrderedDict([('c_fc', nn.Linear(width, 4 * width)),
                                              ('c_proj', nn.Linear(4 * width, width))]))
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, before: KeysValues | None = None) -> tuple[Tensor, KeysValues]:
        """See :class:`ClipAttention`."""
        attended, kept = self.attn(self.ln_1(x), before)
        return self._project(x + attended), kept

    def values(self, x: Tensor) -> Tensor:
        """The layer without a look at other tokens: (B, T, C) -> (B, T, C)."""
        return self._project(x + self.attn.values(self.ln_1(x)))

    def _project(self, x: Tensor) -> Tensor:
        inner = self.activation(linear_layer(self.mlp['c_fc'], self.ln_2(x)))
        return linear_layer(self.mlp['c_proj'], inner, residual=x)
