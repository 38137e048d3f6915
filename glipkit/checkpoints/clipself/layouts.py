"""The layouts of CLIP models with an image transformer, and the way between them.

``eva``        EVA-CLIP's and what CLIPSelf saves of it: ``visual.blocks...``, ``text...``
``openai``     OpenAI's and open_clip's: ``visual.transformer.resblocks...``, ``transformer...``
``open_clip``  open_clip's of EVA-02: timm's tower as ``visual.trunk...``, ``text...``
``timm``       timm's of EVA-02, the image tower alone: ``blocks.0.mlp.fc1_g...``
``glipkit``    ours: ``backbone.*``, ``text_encoder.*``
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from glipkit.checkpoints.clip import layouts as clip
from glipkit.checkpoints.clip.structure import ClipTextSizes
from glipkit.checkpoints.clip.tables import SIDE_KEYS as CLIP_SIDE_KEYS
from glipkit.checkpoints.clip.tables import openai
from glipkit.checkpoints.clipself.structure import EvaSizes, is_eva, read_sizes
from glipkit.checkpoints.family import OWN, Checkpoint, Translated
from glipkit.checkpoints.key_table import KeyTable, Row
from glipkit.common.rotary import rotary_tables
from glipkit.errors import UserError

CONTAINERS = {'eva': '', 'openai': '', 'open_clip': '', 'timm': ''}
_WRAPPED = 'module.'
_MARKERS = {'eva': re.compile(r'visual\.blocks\.\d+\.attn\.q_bias$'),
            'openai': re.compile(r'visual\.transformer\.resblocks\.'),
            'open_clip': re.compile(r'visual\.trunk\.blocks\.\d+\.mlp\.fc1_g\.'),
            'timm': re.compile(r'blocks\.\d+\.mlp\.fc1_g\.')}
_TIMM_CLASS = 'head.weight'  # towers of timm without projection have no place beside words
_OWN = ('backbone.cls_token', 'backbone.class_embedding')
_HEAD_CHANNELS = 64  # of every published EVA-02
_ROTARY = ('freqs_cos', 'freqs_sin')
#: Held by files and made anew by every model: rotary tables of any layout.
ROTARY = re.compile(r'(visual\.)?(trunk\.)?(blocks\.\d+\.attn\.)?rope\..+')
#: What a detector with heads of its own has beside the towers.
_BEYOND = re.compile(r'(neck|rpn_head|roi_head)\.')


def _eva_table(stem: str) -> KeyTable:
    """timm's keys of EVA-02 below ``stem``."""
    block, theirs = 'backbone.blocks.{block}.', f'{stem}blocks.{{block}}.'
    rows = [Row(f'{block}attn.{part}_bias', f'{theirs}attn.{part}_proj.bias') for part in 'qv']
    rows += [Row(f'{block}{ours}.{{param}}', f'{theirs}{name}.{{param}}') for ours, name in (
        ('attn.inner_attn_ln', 'attn.norm'), ('mlp.w1', 'mlp.fc1_g'), ('mlp.w2', 'mlp.fc1_x'),
        ('mlp.ffn_ln', 'mlp.norm'), ('mlp.w3', 'mlp.fc2'))]
    return KeyTable([*rows, Row('text_encoder.{tail}', 'text.{tail}'),
                     Row('logit_scale', 'logit_scale'), Row('backbone.{tail}', f'{stem}{{tail}}')])


TABLES = {
    'eva': KeyTable([Row('backbone.{tail}', 'visual.{tail}'),
                     Row('text_encoder.{tail}', 'text.{tail}'),
                     Row('logit_scale', 'logit_scale')]),
    'openai': openai(), 'open_clip': _eva_table('visual.trunk.'), 'timm': _eva_table(''),
}


def detect(keys: Iterable[str]) -> tuple[str, str] | None:
    """The layout of a state dict and the prefix of its keys (``''`` or ``'module.'``); None when
    the keys are those of no CLIP model with an image transformer."""
    keys = list(keys)
    for prefix in ('', _WRAPPED):
        own = [key[len(prefix):] for key in keys if key.startswith(prefix)]
        for layout, marker in _MARKERS.items():
            if any(map(marker.match, own)) and (layout != 'timm' or _TIMM_CLASS in own):
                return layout, prefix
        if any(key in _OWN for key in own) and not any(map(_BEYOND.match, own)):
            return OWN, prefix
    return None


def to_own(state: dict[str, Tensor], layout: str, prefix: str, path: str | Path) -> Checkpoint:
    """A complete checkpoint from tensors of another layout; see :class:`~.family.Family`.

    Raises:
        UserError: A tensor is missing, unknown or of another shape.
    """
    aside = {key: state.pop(key) for key in list(state)
             if ROTARY.fullmatch(key) or CLIP_SIDE_KEYS.fullmatch(key.removeprefix('text.'))}
    ours, unknown, _ = TABLES[layout].translate(state, to_ours=True)
    clip.check_towers(ours, path, unknown, read_sizes)
    return Checkpoint(ours, layout, {'layout': layout, 'prefix': prefix}, aside)


def from_own(checkpoint: Checkpoint, layout: str) -> Translated:
    """The state dict of another layout; see :class:`~.family.Family`.

    A file that was EVA-CLIP's gets its own rotary tables back, another one those of its grid.
    What a layout has no place for is named in the result.

    Raises:
        UserError: The layout holds the other kind of tower.
    """
    eva = is_eva(checkpoint.state)
    if eva == (layout == 'openai'):
        kinds = ', '.join(name for name in (*CONTAINERS, OWN) if (name != 'openai') == eva)
        raise UserError(f"a layout of {'EVA-02' if eva else 'OpenAI'}'s towers ({kinds})",
                        repr(layout), 'pass one of these')
    home = checkpoint.source if checkpoint.source.get('layout') == layout else {}
    ours, lost = dict(checkpoint.state), []
    if layout == 'timm':
        lost = [key for key in ours if not key.startswith('backbone.')]
        ours = {key: tensor for key, tensor in ours.items() if key.startswith('backbone.')}
    state, left, _ = TABLES[layout].translate(ours, to_ours=False)
    if home:
        state.update(checkpoint.aside)
    else:
        left = [*left, *(key for key in checkpoint.aside if not ROTARY.fullmatch(key))]
        if layout == 'eva':
            state.update(_tables_of(checkpoint.state))
    prefix = home.get('prefix', '')
    return Translated({prefix + key: tensor for key, tensor in state.items()}, 0, (*left, *lost))


def _tables_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The rotary tables of an EVA-02 tower under the official keys."""
    sizes = EvaSizes.from_state(state, 'backbone.', '')
    side = round((sizes.places - 1)**0.5)
    tables = dict(zip(_ROTARY, rotary_tables((side, side), _HEAD_CHANNELS)))
    stems = ['visual.rope.', *(f'visual.blocks.{i}.attn.rope.' for i in range(sizes.layers))]
    return {f'{stem}{name}': table.clone() for stem in stems for name, table in tables.items()}


def check(checkpoint: Checkpoint, path: str | Path, to: str) -> str:
    """Description of the model, after a check that its tensors are complete."""
    return clip.check_towers(checkpoint.state, path, read=read_sizes)


def describe_towers(state: Mapping[str, Tensor]) -> str | None:
    """Description of the model; None where its tensors do not show its sizes."""
    try:
        text = '' if not any(key.startswith('text_encoder.') for key in state) else \
            f", {ClipTextSizes.from_state(state, 'text_encoder.', '')}"
        return f"{read_sizes(state, 'backbone.', '')}{text}"
    except UserError:
        return None


def variant(state: Mapping[str, Tensor]) -> str:
    """A published variant, or ``'custom'``."""
    try:
        return read_sizes(state, 'backbone.', '').variant
    except UserError:
        return 'custom'
