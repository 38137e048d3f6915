"""What the tensors of a CLIP image transformer say about its sizes."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from glipkit.checkpoints.clip.structure import TowerSizes, layer_shapes, linear, size
from glipkit.checkpoints.counting import count
from glipkit.checkpoints.differences import Shape


@dataclass(frozen=True)
class EvaSizes:
    """Sizes of EVA-02's image tower (EVA-CLIP's code: ``EVAVisionTransformer``).

    Args:
        width: Channels inside.
        layers: Transformer layers.
        patch: Side of a patch in pixels.
        places: Rows of the table of positions, one for the class token included.
        hidden: Channels inside of the MLP.
        embed_dim: Channels of an embedding.
    """

    width: int
    layers: int
    patch: int
    places: int
    hidden: int
    embed_dim: int

    @property
    def variant(self) -> str:
        """``'eva02-b16'``, ``'eva02-l14-336'`` or ``'custom'``."""
        known = {(768, 12, 16, 197, 2048, 512): 'eva02-b16',
                 (1024, 24, 14, 577, 2730, 768): 'eva02-l14-336'}
        return known.get((self.width, self.layers, self.patch, self.places, self.hidden,
                          self.embed_dim), 'custom')

    def __str__(self) -> str:
        return (f'{self.variant}: EVA-02 {self.layers} x {self.width}, patches of {self.patch}, '
                f'embeddings of {self.embed_dim}')

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], stem: str, origin: object) -> EvaSizes:
        """Reads the sizes off keys below ``stem``; ``origin`` is for messages.

        Raises:
            UserError: A tensor that fixes a size is absent.
        """
        width, _, patch, _ = size(state, f'{stem}patch_embed.proj.weight', 4, origin)
        return cls(width, count(state, f'{stem}blocks.'), patch,
                   size(state, f'{stem}pos_embed', 3, origin)[1],
                   size(state, f'{stem}blocks.0.mlp.w1.weight', 2, origin)[0],
                   size(state, f'{stem}head.weight', 2, origin)[0])

    def shapes(self, stem: str) -> dict[str, Shape]:
        """Every tensor of such a tower below ``stem``; rotary tables are none."""
        width, hidden = self.width, self.hidden
        found: dict[str, Shape] = {
            f'{stem}cls_token': (1, 1, width), f'{stem}pos_embed': (1, self.places, width),
            f'{stem}patch_embed.proj.weight': (width, 3, self.patch, self.patch),
            f'{stem}patch_embed.proj.bias': (width, ), **_norm(f'{stem}norm', width),
            **linear(f'{stem}head', width, self.embed_dim)}
        for layer in range(self.layers):
            name = f'{stem}blocks.{layer}.'
            for part in ('q', 'k', 'v'):
                found[f'{name}attn.{part}_proj.weight'] = (width, width)
            found |= {f'{name}attn.q_bias': (width, ), f'{name}attn.v_bias': (width, )}
            found |= linear(f'{name}attn.proj', width, width)
            found |= linear(f'{name}mlp.w1', width, hidden) | linear(f'{name}mlp.w2', width, hidden)
            found |= linear(f'{name}mlp.w3', hidden, width) | _norm(f'{name}mlp.ffn_ln', hidden)
            for norm in ('norm1', 'norm2', 'attn.inner_attn_ln'):
                found |= _norm(f'{name}{norm}', width)
        return found


@dataclass(frozen=True)
class ClipVitSizes:
    """Sizes of OpenAI's image tower (CLIP's code: ``VisionTransformer``); see :class:`EvaSizes`."""

    width: int
    layers: int
    patch: int
    places: int
    embed_dim: int

    @property
    def variant(self) -> str:
        """``'vit-b16'``, ``'vit-l14-336'`` or ``'custom'``."""
        known = {(768, 12, 16, 197, 512): 'vit-b16', (1024, 24, 14, 577, 768): 'vit-l14-336'}
        return known.get((self.width, self.layers, self.patch, self.places, self.embed_dim),
                         'custom')

    def __str__(self) -> str:
        return (f'{self.variant}: CLIP ViT {self.layers} x {self.width}, patches of {self.patch}, '
                f'embeddings of {self.embed_dim}')

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], stem: str, origin: object) -> ClipVitSizes:
        """As :meth:`EvaSizes.from_state`."""
        width, _, patch, _ = size(state, f'{stem}conv1.weight', 4, origin)
        return cls(width, count(state, f'{stem}transformer.resblocks.'), patch,
                   size(state, f'{stem}positional_embedding', 2, origin)[0],
                   size(state, f'{stem}proj', 2, origin)[1])

    def shapes(self, stem: str) -> dict[str, Shape]:
        """Every tensor of such a tower below ``stem``."""
        width = self.width
        return {f'{stem}class_embedding': (width, ),
                f'{stem}positional_embedding': (self.places, width),
                f'{stem}proj': (width, self.embed_dim),
                f'{stem}conv1.weight': (width, 3, self.patch, self.patch),
                **_norm(f'{stem}ln_pre', width), **_norm(f'{stem}ln_post', width),
                **layer_shapes(f'{stem}transformer.resblocks.', self.layers, width)}


def is_eva(state: Mapping[str, Tensor], stem: str = 'backbone.') -> bool:
    """Whether the image tower below ``stem`` is EVA-02's."""
    return f'{stem}cls_token' in state or f'{stem}patch_embed.proj.weight' in state


def read_sizes(state: Mapping[str, Tensor], stem: str, origin: object) -> TowerSizes:
    """Sizes of the tower below ``stem``, whichever it is; see :meth:`EvaSizes.from_state`."""
    kind = EvaSizes if is_eva(state, stem) else ClipVitSizes
    return kind.from_state(state, stem, origin)


def _norm(stem: str, width: int) -> dict[str, Shape]:
    return {f'{stem}.weight': (width, ), f'{stem}.bias': (width, )}
