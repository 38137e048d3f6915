"""OpenAI's image transformer of CLIP, with a dense map.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
section 2.4. Parameter names are the official ones without ``visual.``.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn

from glipkit.errors import UserError
from glipkit.models.backbones.towers import gathered
from glipkit.models.backbones.vision_transformer import Grid, VisionTransformer, resize_positions
from glipkit.registry import MODELS
from glipkit.text.encoders.clip_layers import ACTIVATIONS, ClipLayer


@MODELS.register_module()
class ClipViT(VisionTransformer):
    """OpenAI's ViT. The defaults are those of ViT-B/16.

    Args:
        image_size: Side in pixels of the images that the table of positions was made for.
        patch: Side of a patch in pixels.
        width: Channels C inside.
        layers: Transformer layers.
        heads: Attention heads; None for one per 64 channels.
        embed_dim: Channels D of an embedding.
        activation: ``'quick_gelu'`` for OpenAI's weights, ``'gelu'`` for most others.
        frozen_stages: How many of the groups do not train, from the first.
        with_cp: See :class:`VisionTransformer`.
        init_cfg: mmengine's config of initial weights.

    Raises:
        UserError: Numbers that do not fit together.
    """

    def __init__(self, image_size: int = 224, patch: int = 16, width: int = 768, layers: int = 12,
                 heads: int | None = None, embed_dim: int = 512, activation: str = 'quick_gelu',
                 frozen_stages: int = 0, with_cp: bool = False,
                 init_cfg: dict | None = None) -> None:
        heads = heads or max(1, width // 64)
        super().__init__(image_size, patch, width, heads, embed_dim, with_cp, init_cfg)
        if activation not in ACTIVATIONS:
            raise UserError(f'an activation ({", ".join(ACTIVATIONS)})', repr(activation),
                            'choose one of these')
        scale = width**-0.5
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(
            scale * torch.randn(1 + self.grid[0] * self.grid[1], width))
        self.proj = nn.Parameter(scale * torch.randn(width, embed_dim))
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = nn.ModuleDict({'resblocks': nn.ModuleList(
            ClipLayer(width, heads, ACTIVATIONS[activation], causal=False)
            for _ in range(layers))})
        self.ln_post = nn.LayerNorm(width)
        self.freeze(frozen_stages)

    @property
    def layers(self) -> nn.ModuleList:
        return self.transformer['resblocks']

    def embed_patches(self, images: Tensor) -> Tensor:
        return self.conv1(images)

    def begin(self, patches: Tensor, grid: Grid) -> Tensor:
        first = self.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        places = resize_positions(self.positional_embedding, self.grid, grid)
        return self.ln_pre(torch.cat([first, patches], 1) + places.to(patches.dtype))

    def places(self, grid: Grid, device: torch.device) -> None:
        return None

    def apply_layer(self, layer: nn.Module, tokens: Tensor, places: None) -> Tensor:
        return layer(tokens)[0]

    def project(self, tokens: Tensor) -> Tensor:
        tokens = self.ln_post(tokens)
        return tokens @ self.proj.to(tokens.dtype)

    def layer_groups(self) -> list[nn.Module]:
        """Patches and positions, every layer, last norm and projection."""
        stem = gathered(conv1=self.conv1, class_embedding=self.class_embedding,
                        positional_embedding=self.positional_embedding, ln_pre=self.ln_pre)
        return [stem, *self.layers, gathered(ln_post=self.ln_post, proj=self.proj)]
