"""What a GLIP checkpoint's own tensors say about the model it belongs to."""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from glipkit.checkpoints.counting import count
from glipkit.checkpoints.differences import Shape
from glipkit.errors import UserError

INDEX_BUFFER = 'attn.w_msa.relative_position_index'
"""Tail of Swin's lookup buffers: they follow from the window, and not every file holds them."""

_BERT_NORMS = ('attention.output.LayerNorm', 'output.LayerNorm')


@dataclass(frozen=True)
class Structure:
    """Sizes of a GLIP model, enough to name every tensor it has, with its shape.

    Args:
        embed_dims: Channels after Swin's patch embedding; doubled at each stage.
        patch_size: Side of an embedded patch, in pixels.
        depths: Swin blocks of each stage.
        heads: Attention heads of each stage.
        window: Side of Swin's window, in patches.
        mlp_ratio: Hidden channels of Swin's MLPs over their input channels.
        outputs: Stages whose output the neck takes, counted from 0.
        channels: Channels of neck and head.
        levels: Levels the head works on.
        blocks: Dynamic-convolution blocks of the tower.
        squeeze: Hidden channels of the task attention.
        joint: Joint channels of the cross attention; 0 without deep fusion.
        text_hidden: Channels of the text encoder.
        text_inner: Hidden channels of its feed-forward layers.
        text_layers: Its layers.
        vocabulary: Its word pieces.
        positions: Its longest text, in tokens.
    """

    embed_dims: int
    patch_size: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int
    mlp_ratio: int
    outputs: tuple[int, ...]
    channels: int
    levels: int
    blocks: int
    squeeze: int
    joint: int
    text_hidden: int
    text_inner: int
    text_layers: int
    vocabulary: int
    positions: int

    @property
    def fused(self) -> bool:
        """Whether there is deep fusion: every published variant but A."""
        return self.joint > 0

    @property
    def variant(self) -> str:
        """The published variant with these sizes, else ``'custom'``.

        B, C and T are one model trained on different data, so all three are ``'glip-t'``.
        """
        tiny = (96, (2, 2, 6, 2), 7)
        large = (192, (2, 2, 18, 2), 12)
        known = {(tiny, 6, False): 'glip-t-a', (tiny, 6, True): 'glip-t',
                 (large, 8, True): 'glip-l'}
        return known.get(((self.embed_dims, self.depths, self.window), self.blocks, self.fused),
                         'custom')

    def __str__(self) -> str:
        fusion = 'with deep fusion' if self.fused else 'without fusion'
        depths = '-'.join(map(str, self.depths))
        return (f'{self.variant}: Swin {self.embed_dims} x {depths} (window {self.window}), '
                f'{self.blocks} block{"s" * (self.blocks != 1)} {fusion}, '
                f'text {self.text_layers} x {self.text_hidden}')

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], origin: str = 'a file') -> Structure:
        """Reads the sizes off a state dict in our layout; ``origin`` is for messages.

        Raises:
            UserError: When a tensor that fixes a size is absent.
        """

        def shape(key: str, rank: int) -> Shape:
            if key not in state:
                raise UserError(f'a GLIP checkpoint with the tensor {key}', f'{origin} without it',
                                'check that the file is complete and of this model family')
            if state[key].dim() != rank:
                raise UserError(f'{key} with {rank} axes',
                                f'{origin} with shape {tuple(state[key].shape)}',
                                'check that the file belongs to a GLIP model')
            return tuple(state[key].shape)

        embed_dims, _, patch_size, _ = shape('backbone.patch_embed.projection.weight', 4)
        stages = count(state, 'backbone.stages.')
        stems = [f'backbone.stages.{stage}.blocks.' for stage in range(stages)]
        tables = [shape(f'{stem}0.attn.w_msa.relative_position_bias_table', 2) for stem in stems]
        outputs = sorted({int(match[1]) for match in
                          (re.match(r'backbone\.norm(\d+)\.', key) for key in state) if match})
        joint_key = 'bbox_head.tower.0.fusion.v_proj.weight'
        fused = any('.fusion.' in key for key in state if key.startswith('bbox_head.tower.'))
        vocabulary, text_hidden = shape('text_encoder.embeddings.word_embeddings.weight', 2)
        return cls(
            embed_dims=embed_dims,
            patch_size=patch_size,
            depths=tuple(count(state, stem) for stem in stems),
            heads=tuple(table[1] for table in tables),
            window=(round(tables[0][0]**0.5) + 1) // 2 if tables else 0,
            mlp_ratio=(shape(f'{stems[0]}0.ffn.layers.0.0.weight', 2)[0] // embed_dims
                       if stems else 0),
            outputs=tuple(outputs),
            channels=shape('bbox_head.bbox_pred.weight', 4)[1],
            levels=count(state, 'neck.fpn_convs.'),
            blocks=count(state, 'bbox_head.tower.'),
            squeeze=shape('bbox_head.tower.0.dyconv.task_attention.fc.0.weight', 2)[0],
            joint=shape(joint_key, 2)[0] if fused else 0,
            text_hidden=text_hidden,
            text_inner=shape('text_encoder.encoder.layer.0.intermediate.dense.weight', 2)[0],
            text_layers=count(state, 'text_encoder.encoder.layer.'),
            vocabulary=vocabulary,
            positions=shape('text_encoder.embeddings.position_embeddings.weight', 2)[0],
        )

    def shapes(self) -> dict[str, Shape]:
        """Every tensor of such a model in our layout, Swin's index buffers included."""
        return {**self._backbone(), **self._neck(), **self._text_encoder(), **self._head()}

    def _backbone(self) -> dict[str, Shape]:
        width, patch = self.embed_dims, self.patch_size
        found: dict[str, Shape] = {
            'backbone.patch_embed.projection.weight': (width, 3, patch, patch),
            'backbone.patch_embed.projection.bias': (width, ),
            **_norm('backbone.patch_embed.norm', width),
        }
        area, span = self.window**2, 2 * self.window - 1
        for stage, (depth, heads) in enumerate(zip(self.depths, self.heads)):
            channels = width * 2**stage
            for index in range(depth):
                stem = f'backbone.stages.{stage}.blocks.{index}'
                attention = f'{stem}.attn.w_msa'
                found |= _norm(f'{stem}.norm1', channels) | _norm(f'{stem}.norm2', channels)
                found[f'{attention}.relative_position_bias_table'] = (span**2, heads)
                found[f'{stem}.{INDEX_BUFFER}'] = (area, area)
                found |= _linear(f'{attention}.qkv', channels, 3 * channels)
                found |= _linear(f'{attention}.proj', channels, channels)
                inner = channels * self.mlp_ratio
                found |= _linear(f'{stem}.ffn.layers.0.0', channels, inner)
                found |= _linear(f'{stem}.ffn.layers.1', inner, channels)
            if stage < len(self.depths) - 1:
                stem = f'backbone.stages.{stage}.downsample'
                found[f'{stem}.reduction.weight'] = (2 * channels, 4 * channels)
                found |= _norm(f'{stem}.norm', 4 * channels)
        for stage in self.outputs:
            found |= _norm(f'backbone.norm{stage}', width * 2**stage)
        return found

    def _neck(self) -> dict[str, Shape]:
        found: dict[str, Shape] = {}
        for level, stage in enumerate(self.outputs):
            found |= _conv(f'neck.lateral_convs.{level}.conv', self.embed_dims * 2**stage,
                           self.channels, 1)
        for level in range(self.levels):
            found |= _conv(f'neck.fpn_convs.{level}.conv', self.channels, self.channels, 3)
        return found

    def _text_encoder(self) -> dict[str, Shape]:
        stem, width = 'text_encoder.embeddings', self.text_hidden
        found: dict[str, Shape] = {
            f'{stem}.word_embeddings.weight': (self.vocabulary, width),
            f'{stem}.position_embeddings.weight': (self.positions, width),
            f'{stem}.token_type_embeddings.weight': (2, width),
            **_norm(f'{stem}.LayerNorm', width),
        }
        for index in range(self.text_layers):
            found |= self._bert_layer(f'text_encoder.encoder.layer.{index}')
        return found

    def _bert_layer(self, stem: str) -> dict[str, Shape]:
        width, inner = self.text_hidden, self.text_inner
        found: dict[str, Shape] = {}
        for name in ('self.query', 'self.key', 'self.value', 'output.dense'):
            found |= _linear(f'{stem}.attention.{name}', width, width)
        found |= _linear(f'{stem}.intermediate.dense', width, inner)
        found |= _linear(f'{stem}.output.dense', inner, width)
        for name in _BERT_NORMS:
            found |= _norm(f'{stem}.{name}', width)
        return found

    def _head(self) -> dict[str, Shape]:
        channels, text = self.channels, self.text_hidden
        found: dict[str, Shape] = {}
        for index in range(self.blocks):
            stem = f'bbox_head.tower.{index}'
            found |= self._dyconv(f'{stem}.dyconv')
            if self.fused:
                found |= self._fusion(f'{stem}.fusion') | self._bert_layer(f'{stem}.text_layer')
        found |= _linear('bbox_head.alignment.text_projection', text, channels)
        found |= {'bbox_head.alignment.bias_lang': (text, ),
                  'bbox_head.alignment.bias0': (1, ), 'bbox_head.alignment.log_scale': (1, )}
        found |= _conv('bbox_head.bbox_pred', channels, 4, 1)
        found |= _conv('bbox_head.centerness', channels, 1, 1)
        found |= {f'bbox_head.scales.{level}.scale': () for level in range(self.levels)}
        return found

    def _dyconv(self, stem: str) -> dict[str, Shape]:
        channels = self.channels
        found: dict[str, Shape] = {}
        for branch in range(3):
            found |= _conv(f'{stem}.convs.{branch}.conv', channels, channels, 3)
            found |= _norm(f'{stem}.convs.{branch}.norm', channels)
        found |= _conv(f'{stem}.scale_attention.1', channels, 1, 1)
        # 18 offsets and 9 masks of a 3x3 kernel.
        found |= _conv(f'{stem}.offset', channels, 27, 3)
        found |= _linear(f'{stem}.task_attention.fc.0', channels, self.squeeze)
        found |= _linear(f'{stem}.task_attention.fc.2', self.squeeze, 4 * channels)
        return found

    def _fusion(self, stem: str) -> dict[str, Shape]:
        found: dict[str, Shape] = {}
        for side, width in (('v', self.channels), ('l', self.text_hidden)):
            found |= _norm(f'{stem}.layer_norm_{side}', width)
            found[f'{stem}.gamma_{side}'] = (width, )
            found |= _linear(f'{stem}.{side}_proj', width, self.joint)
            found |= _linear(f'{stem}.values_{side}_proj', width, self.joint)
            found |= _linear(f'{stem}.out_{side}_proj', self.joint, width)
        return found


def _norm(stem: str, channels: int) -> dict[str, Shape]:
    return {f'{stem}.weight': (channels, ), f'{stem}.bias': (channels, )}


def _linear(stem: str, inputs: int, outputs: int) -> dict[str, Shape]:
    return {f'{stem}.weight': (outputs, inputs), f'{stem}.bias': (outputs, )}


def _conv(stem: str, inputs: int, outputs: int, side: int) -> dict[str, Shape]:
    return {f'{stem}.weight': (outputs, inputs, side, side), f'{stem}.bias': (outputs, )}
