"""EVA-02's image transformer of CLIP, with a dense map.

Fang et al., "EVA-02: A Visual Representation for Neon Genesis", 2023, section 2.1, in the form of
Sun et al., "EVA-CLIP: Improved Training Techniques for CLIP at Scale", 2023: rotary positions
beside a table of them, a gated MLP, and norms inside of attention and MLP. Parameter names are the
official ones without ``visual.``; rotary tables follow from the grid and are no parameters.
Letters in shapes: B images, T = 1 + N tokens, C channels, n heads of E channels.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glipkit.common.linear import linear, linear_layer
from glipkit.common.rotary import Tables, rotary_tables
from glipkit.errors import UserError
from glipkit.models.backbones.towers import gathered
from glipkit.models.backbones.vision_transformer import Grid, VisionTransformer, resize_positions
from glipkit.registry import MODELS

_EPS = 1e-6


class EvaAttention(nn.Module):
    """Multi-head self-attention: rotated queries and keys, a norm before the output projection.

    Args:
        width: Channels C.
        heads: Attention heads n.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.inner_attn_ln = nn.LayerNorm(width, eps=_EPS)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, tables: Tables) -> Tensor:
        """Tokens (B, T, C) and the rotary tables of all but the first -> (B, T, C)."""
        query, key, value = (one.unflatten(-1, (self.heads, -1)).transpose(1, 2) for one in (
            linear(x, self.q_proj.weight, self.q_bias), linear_layer(self.k_proj, x),
            linear(x, self.v_proj.weight, self.v_bias)))
        out = F.scaled_dot_product_attention(rotate(query, tables), rotate(key, tables), value)
        return linear_layer(self.proj, self.inner_attn_ln(out.transpose(1, 2).flatten(2)))

    def values(self, x: Tensor) -> Tensor:
        """What each token (B, T, C) gives when it sees itself alone, (B, T, C)."""
        values = linear(x, self.v_proj.weight, self.v_bias)
        return linear_layer(self.proj, self.inner_attn_ln(values))

    def low_rank_layers(self) -> list[nn.Linear]:
        """The four projections."""
        return [self.q_proj, self.k_proj, self.v_proj, self.proj]


class GatedMlp(nn.Module):
    """SwiGLU with a norm before the last projection."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, hidden)
        self.w2 = nn.Linear(width, hidden)
        self.ffn_ln = nn.LayerNorm(hidden, eps=_EPS)
        self.w3 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        gated = F.silu(linear_layer(self.w1, x)) * linear_layer(self.w2, x)
        return linear_layer(self.w3, self.ffn_ln(gated))


class EvaLayer(nn.Module):
    """A pre-norm layer of attention and gated MLP."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attn = EvaAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.mlp = GatedMlp(width, hidden)

    def forward(self, x: Tensor, tables: Tables) -> Tensor:
        """See :class:`EvaAttention`."""
        x = x + self.attn(self.norm1(x), tables)
        return x + self.mlp(self.norm2(x))

    def values(self, x: Tensor) -> Tensor:
        """The layer without a look at other tokens: (B, T, C) -> (B, T, C)."""
        x = x + self.attn.values(self.norm1(x))
        return x + self.mlp(self.norm2(x))


@MODELS.register_module()
class EvaViT(VisionTransformer):
    """EVA-02's ViT. The defaults are those of EVA02-CLIP-B-16.

    Args:
        image_size: Side in pixels of the images that the table of positions was made for.
        patch: Side of a patch in pixels.
        width: Channels C inside.
        layers: Transformer layers.
        heads: Attention heads; None for one per 64 channels.
        hidden: Channels inside of the MLP; None for 8/3 of the width, rounded as in EVA-02.
        embed_dim: Channels D of an embedding.
        span: Rotary units from the first to behind the last row and column of any grid.
        frozen_stages: How many of the groups do not train, from the first.
        with_cp: See :class:`VisionTransformer`.
        init_cfg: mmengine's config of initial weights.

    Raises:
        UserError: Numbers that do not fit together.
    """

    def __init__(self, image_size: int = 224, patch: int = 16, width: int = 768, layers: int = 12,
                 heads: int | None = None, hidden: int | None = None, embed_dim: int = 512,
                 span: float = 16, frozen_stages: int = 0, with_cp: bool = False,
                 init_cfg: dict | None = None) -> None:
        heads = heads or max(1, width // 64)
        super().__init__(image_size, patch, width, heads, embed_dim, with_cp, init_cfg)
        if width // heads % 4:
            raise UserError('heads of a multiple of 4 channels, for row and column',
                            str(width // heads), 'change width or heads')
        self.span = span
        hidden = int(width * 2.6667) if hidden is None else hidden
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + self.grid[0] * self.grid[1], width))
        self.patch_embed = nn.ModuleDict({'proj': nn.Conv2d(3, width, patch, stride=patch)})
        self.blocks = nn.ModuleList(EvaLayer(width, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.head = nn.Linear(width, embed_dim)
        self._start()
        self.freeze(frozen_stages)

    def _start(self) -> None:
        """Initial values of EVA-02: small ones, which fall with depth at the end of each branch."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        with torch.no_grad():
            for depth, layer in enumerate(self.blocks, 1):
                layer.attn.proj.weight /= (2 * depth)**0.5
                layer.mlp.w3.weight /= (2 * depth)**0.5

    @property
    def layers(self) -> nn.ModuleList:
        return self.blocks

    def embed_patches(self, images: Tensor) -> Tensor:
        return self.patch_embed['proj'](images)

    def begin(self, patches: Tensor, grid: Grid) -> Tensor:
        first = self.cls_token.to(patches.dtype).expand(len(patches), -1, -1)
        places = resize_positions(self.pos_embed[0], self.grid, grid)
        return torch.cat([first, patches], 1) + places.to(patches.dtype)

    def places(self, grid: Grid, device: torch.device) -> Tables:
        return rotary_tables(grid, self.width // self.heads, self.span, device)

    def apply_layer(self, layer: nn.Module, tokens: Tensor, places: Tables) -> Tensor:
        return layer(tokens, places)

    def project(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(tokens))

    def attended_alone(self) -> list[nn.Parameter]:
        """Query and key of the last layer; OpenAI's towers have one table with the values."""
        last = self.blocks[-1].attn
        return [last.q_proj.weight, last.k_proj.weight, last.q_bias]

    def layer_groups(self) -> list[nn.Module]:
        """Patches and positions, every layer, last norm and projection."""
        stem = gathered(patch_embed=self.patch_embed, cls_token=self.cls_token,
                        pos_embed=self.pos_embed)
        return [stem, *self.blocks, gathered(norm=self.norm, head=self.head)]


def rotate(x: Tensor, tables: Tables) -> Tensor:
    """Turns neighbouring channels of all tokens but the first: (B, n, T, E) -> (B, n, T, E)."""
    first, rest = x[:, :, :1], x[:, :, 1:]
    even, odd = rest.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([-odd, even], -1).flatten(-2)
    cosines, sines = (table.to(x.dtype) for table in tables)
    return torch.cat([first, rest * cosines + turned * sines], 2)
