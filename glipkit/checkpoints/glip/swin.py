"""Keys of Swin backbones: the official code's and timm's beside mmdet's, which are ours."""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from glipkit.checkpoints.counting import count
from glipkit.checkpoints.family import BACKBONE, PartState, Tower
from glipkit.checkpoints.glip.structure import INDEX_BUFFER
from glipkit.checkpoints.glip.tensors import PATCH_MERGE, relative_position_index
from glipkit.checkpoints.key_table import KeyTable, Row


def swin_rows(ours: str, theirs: str) -> list[Row]:
    """Rows of the Swin backbone; ``ours`` and ``theirs`` are its key prefixes, dot included."""
    block, their_block = f'{ours}stages.{{stage}}.blocks.{{block}}.', \
        f'{theirs}layers.{{stage}}.blocks.{{block}}.'
    merge, their_merge = f'{ours}stages.{{stage}}.downsample.', \
        f'{theirs}layers.{{stage}}.downsample.'
    return [
        Row(f'{ours}patch_embed.projection.{{param}}', f'{theirs}patch_embed.proj.{{param}}'),
        Row(f'{ours}patch_embed.norm.{{param}}', f'{theirs}patch_embed.norm.{{param}}'),
        Row(f'{block}norm{{which}}.{{param}}', f'{their_block}norm{{which}}.{{param}}'),
        Row(f'{block}attn.w_msa.{{tail}}', f'{their_block}attn.{{tail}}'),
        Row(f'{block}ffn.layers.0.0.{{param}}', f'{their_block}mlp.fc1.{{param}}'),
        Row(f'{block}ffn.layers.1.{{param}}', f'{their_block}mlp.fc2.{{param}}'),
        Row(f'{merge}reduction.weight', f'{their_merge}reduction.weight', PATCH_MERGE),
        Row(f'{merge}norm.{{param}}', f'{their_merge}norm.{{param}}', PATCH_MERGE),
        Row(f'{ours}norm{{which}}.{{param}}', f'{theirs}norm{{which}}.{{param}}'),
    ]


def is_index_buffer(key: str) -> bool:
    """Whether a tensor is a lookup buffer of Swin, which follows from the window."""
    return key.endswith(INDEX_BUFFER)


def with_index_buffers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of ours with Swin's index buffers, which mmdet's Swin counts among its tensors
    and checkpoints need not hold."""
    state = dict(state)
    for key in list(state):
        stem, found, _ = key.partition('attn.w_msa.relative_position_bias_table')
        if found and stem.startswith('backbone.'):
            window = (round(state[key].shape[0]**0.5) + 1) // 2
            state.setdefault(stem + INDEX_BUFFER, relative_position_index(window))
    return state


def _suits(keys: Iterable[str]) -> bool:
    return any('.attn.w_msa.' in key for key in keys)


def _read(state: dict[str, Tensor]) -> PartState:
    """ImageNet files of the Swin authors, of timm and of mmdet."""
    state = {re.sub(r'^(module\.)?(backbone\.)?', '', key): value for key, value in state.items()}
    aside = [key for key in state if re.match(r'(head|norm)\.', key) or key.endswith('.attn_mask')]
    state = {key: tensor for key, tensor in state.items() if key not in aside}
    if any(key.startswith('stages.') for key in state):
        return PartState(state, [], aside)
    last = count(state, 'layers.') - 1
    if f'layers.{last}.downsample.norm.weight' in state:
        # timm puts a stage's patch merging before its blocks, the Swin authors after them.
        state = {re.sub(r'^layers\.(\d+)\.downsample\.',
                        lambda m: f'layers.{int(m[1]) - 1}.downsample.', key): tensor
                 for key, tensor in state.items()}
    found, unknown, _ = KeyTable(swin_rows('', '')).translate(state, to_ours=True)
    return PartState(found, unknown, aside)


# ImageNet files have no norms of the outputs.
SWIN = Tower(BACKBONE, _suits, _read, absent=lambda key: bool(re.match(r'norm\d+\.', key)),
             derived=is_index_buffer)
