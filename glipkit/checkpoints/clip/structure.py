"""What the tensors of a CLIP model with a ResNet say about its sizes."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from glipkit.checkpoints.counting import count
from glipkit.checkpoints.differences import Shape
from glipkit.errors import UserError

_STATISTICS = ('weight', 'bias', 'running_mean', 'running_var')


class TowerSizes(Protocol):
    """Sizes of an image tower; as a text the description of the model."""

    embed_dim: int

    def shapes(self, stem: str) -> dict[str, Shape]:
        """Every tensor of such a tower below ``stem``."""


@dataclass(frozen=True)
class ClipResNetSizes:
    """Sizes of a CLIP ResNet (OpenAI's code: ``ModifiedResNet``).

    Args:
        width: Channels after the stem.
        layers: Blocks of each of the four stages.
        places: Rows of the pooling's table of positions, one for the mean included.
        embed_dim: Channels of an embedding.
    """

    width: int
    layers: tuple[int, ...]
    places: int
    embed_dim: int

    @property
    def variant(self) -> str:
        """``'rn50'``, ``'rn101'``, ``'rn50x4'`` or ``'custom'``."""
        known = {(64, (3, 4, 6, 3), 50, 1024): 'rn50', (64, (3, 4, 23, 3), 50, 512): 'rn101',
                 (80, (4, 6, 10, 6), 82, 640): 'rn50x4'}
        return known.get((self.width, self.layers, self.places, self.embed_dim), 'custom')

    def __str__(self) -> str:
        return (f'{self.variant}: CLIP ResNet {self.width} x {"-".join(map(str, self.layers))}, '
                f'embeddings of {self.embed_dim}')

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], stem: str, origin: object
                   ) -> ClipResNetSizes:
        """Reads the sizes off keys below ``stem``; ``origin`` is for messages.

        Raises:
            UserError: A tensor that fixes a size is absent.
        """
        return cls(size(state, f'{stem}conv3.weight', 4, origin)[0],
                   tuple(count(state, f'{stem}layer{stage}.') for stage in range(1, 5)),
                   size(state, f'{stem}attnpool.positional_embedding', 2, origin)[0],
                   size(state, f'{stem}attnpool.c_proj.weight', 2, origin)[0])

    def shapes(self, stem: str) -> dict[str, Shape]:
        """Every tensor of such a tower below ``stem``; counters of batches are none."""
        half, width = self.width // 2, self.width
        found: dict[str, Shape] = {}
        for place, (inputs, outputs) in enumerate(((3, half), (half, half), (half, width)), 1):
            found |= _conv_norm(f'{stem}conv{place}', f'{stem}bn{place}', inputs, outputs, 3)
        inputs = width
        for stage, depth in enumerate(self.layers):
            channels = width * 2**stage
            for block in range(depth):
                name = f'{stem}layer{stage + 1}.{block}.'
                for place, (before, after, side) in enumerate((
                        (inputs, channels, 1), (channels, channels, 3),
                        (channels, 4 * channels, 1)), 1):
                    found |= _conv_norm(f'{name}conv{place}', f'{name}bn{place}', before, after,
                                        side)
                if block == 0:
                    found |= _conv_norm(f'{name}downsample.0', f'{name}downsample.1', inputs,
                                        4 * channels, 1)
                inputs = 4 * channels
        found[f'{stem}attnpool.positional_embedding'] = (self.places, inputs)
        for name in ('q_proj', 'k_proj', 'v_proj'):
            found |= linear(f'{stem}attnpool.{name}', inputs, inputs)
        return found | linear(f'{stem}attnpool.c_proj', inputs, self.embed_dim)


@dataclass(frozen=True)
class ClipTextSizes:
    """Sizes of CLIP's text transformer.

    Args:
        width: Channels inside.
        layers: Transformer layers.
        context: Largest number of tokens.
        vocabulary: Rows of the word embedding.
        embed_dim: Channels of a feature.
    """

    width: int
    layers: int
    context: int
    vocabulary: int
    embed_dim: int

    def __str__(self) -> str:
        return f'text {self.layers} x {self.width}'

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], stem: str, origin: object) -> ClipTextSizes:
        """As :meth:`ClipResNetSizes.from_state`."""
        context, _ = size(state, f'{stem}positional_embedding', 2, origin)
        width, embed_dim = size(state, f'{stem}text_projection', 2, origin)
        vocabulary, _ = size(state, f'{stem}token_embedding.weight', 2, origin)
        return cls(width, count(state, f'{stem}transformer.resblocks.'), context, vocabulary,
                   embed_dim)

    def shapes(self, stem: str) -> dict[str, Shape]:
        """Every tensor of such an encoder below ``stem``."""
        width = self.width
        found: dict[str, Shape] = {
            f'{stem}token_embedding.weight': (self.vocabulary, width),
            f'{stem}positional_embedding': (self.context, width),
            f'{stem}text_projection': (width, self.embed_dim),
            f'{stem}ln_final.weight': (width, ), f'{stem}ln_final.bias': (width, ),
        }
        return found | layer_shapes(f'{stem}transformer.resblocks.', self.layers, width)


def layer_shapes(stem: str, layers: int, width: int) -> dict[str, Shape]:
    """Every tensor of CLIP's transformer layers, of texts or images."""
    found: dict[str, Shape] = {}
    for layer in range(layers):
        name = f'{stem}{layer}.'
        found |= {f'{name}attn.in_proj_weight': (3 * width, width),
                  f'{name}attn.in_proj_bias': (3 * width, )}
        found |= linear(f'{name}attn.out_proj', width, width)
        found |= linear(f'{name}mlp.c_fc', width, 4 * width)
        found |= linear(f'{name}mlp.c_proj', 4 * width, width)
        for norm in ('ln_1', 'ln_2'):
            found |= {f'{name}{norm}.weight': (width, ), f'{name}{norm}.bias': (width, )}
    return found


def size(state: Mapping[str, Tensor], key: str, rank: int, origin: object) -> Shape:
    """Shape of a tensor that fixes a size.

    Raises:
        UserError: It is absent, or has another number of axes.
    """
    if key not in state or state[key].dim() != rank:
        got = f'{origin} without it' if key not in state else \
            f'{origin} with shape {tuple(state[key].shape)}'
        raise UserError(f'a checkpoint with {key} of {rank} axes', got,
                        'check that the file is complete and of this model family')
    return tuple(state[key].shape)


def _conv_norm(conv: str, norm: str, inputs: int, outputs: int, side: int) -> dict[str, Shape]:
    return {f'{conv}.weight': (outputs, inputs, side, side),
            **{f'{norm}.{name}': (outputs, ) for name in _STATISTICS}}


def linear(stem: str, inputs: int, outputs: int) -> dict[str, Shape]:
    """Weight and bias of a linear layer."""
    return {f'{stem}.weight': (outputs, inputs), f'{stem}.bias': (outputs, )}
