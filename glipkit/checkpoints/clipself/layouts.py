"""The layouts of CLIP models with an image transformer, and the way between them.

``fvit``       the detector of CLIPSelf's authors: ``backbone.visual...``, ``roi_head...``

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
from glipkit.checkpoints.clipself import heads
from glipkit.checkpoints.clipself.structure import EvaSizes, is_eva, read_sizes
from glipkit.checkpoints.differences import describe, refuse
from glipkit.checkpoints.family import OWN, Checkpoint, Translated
from glipkit.checkpoints.key_table import KeyTable, Row
from glipkit.common.rotary import rotary_tables
from glipkit.errors import UserError

CONTAINERS = {'eva': '', 'openai': '', 'open_clip': '', 'timm': '', 'fvit': 'state_dict'}
_WRAPPED = 'module.'
_MARKERS = {'fvit': re.compile(r'backbone\.visual\.blocks\.\d+\.attn\.q_bias$'),
            'eva': re.compile(r'visual\.blocks\.\d+\.attn\.q_bias$'),
            'openai': re.compile(r'visual\.transformer\.resblocks\.'),
            'open_clip': re.compile(r'visual\.trunk\.blocks\.\d+\.mlp\.fc1_g\.'),
            'timm': re.compile(r'blocks\.\d+\.mlp\.fc1_g\.')}
_TIMM_CLASS = 'head.weight'  # towers of timm without projection have no place beside words
_OWN = ('backbone.cls_token', 'backbone.class_embedding')
_HEAD_CHANNELS = 64  # of every published EVA-02
_ROTARY = ('freqs_cos', 'freqs_sin')
#: Held by files and made anew by every model: rotary tables of any layout.
ROTARY = re.compile(r'(backbone\.)?(visual\.)?(trunk\.)?(blocks\.\d+\.attn\.)?rope\..+')


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
    'openai': openai(), 'fvit': heads.TABLE, 'open_clip': _eva_table('visual.trunk.'),
    'timm': _eva_table(''),
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
        if any(key in _OWN for key in own):
            return OWN, prefix
    return None


def to_own(state: dict[str, Tensor], layout: str, prefix: str, path: str | Path) -> Checkpoint:
    """A complete checkpoint from tensors of another layout; see :class:`~.family.Family`.

    Raises:
        UserError: A tensor is missing, unknown or of another shape.
    """
    other = heads.SIDE_KEYS if layout == 'fvit' else CLIP_SIDE_KEYS
    aside = {key: state.pop(key) for key in list(state)
             if ROTARY.fullmatch(key) or other.fullmatch(key.removeprefix('text.'))}
    ours, unknown, _ = TABLES[layout].translate(state, to_ours=True)
    check_parts(ours, path, unknown)
    return Checkpoint(ours, layout, {'layout': layout, 'prefix': prefix}, aside)


def from_own(checkpoint: Checkpoint, layout: str) -> Translated:
    """The state dict of another layout; see :class:`~.family.Family`.

    A file that was EVA-CLIP's gets its own rotary tables back, another one those of its grid.
    What a layout has no place for is named in the result.

    A detector goes to the authors' layout without their class matrix, which theirs makes anew.

    Raises:
        UserError: The layout holds the other kind of tower, or a detector.
    """
    eva = is_eva(checkpoint.state)
    if eva == (layout == 'openai'):
        kinds = ', '.join(name for name in (*CONTAINERS, OWN) if (name != 'openai') == eva)
        raise UserError(f"a layout of {'EVA-02' if eva else 'OpenAI'}'s towers ({kinds})",
                        repr(layout), 'pass one of these')
    if layout == 'fvit' and not heads.shapes_above(checkpoint.state):
        raise UserError('a detector, for the layout fvit', 'towers alone', 'pass eva')
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
        if layout in ('eva', 'fvit'):
            stem = 'backbone.visual.' if layout == 'fvit' else 'visual.'
            state.update(_tables_of(checkpoint.state, stem))
    prefix = home.get('prefix', '')
    return Translated({prefix + key: tensor for key, tensor in state.items()}, 0, (*left, *lost))


def _tables_of(state: Mapping[str, Tensor], stem: str) -> dict[str, Tensor]:
    """The rotary tables of an EVA-02 tower under the official keys below ``stem``."""
    sizes = EvaSizes.from_state(state, 'backbone.', '')
    side = round((sizes.places - 1)**0.5)
    tables = dict(zip(_ROTARY, rotary_tables((side, side), _HEAD_CHANNELS)))
    places = [f'{stem}rope.', *(f'{stem}blocks.{i}.attn.rope.' for i in range(sizes.layers))]
    return {f'{place}{name}': table.clone() for place in places for name, table in tables.items()}


def check_parts(state: Mapping[str, Tensor], path: str | Path,
                unknown: Iterable[str] = ()) -> str:
    """Compares towers, and the heads of a detector, with those that their own tensors make up.

    Returns:
        The description of the model.

    Raises:
        UserError: With every tensor that is missing, unknown, or of another shape.
    """
    name = clip.check_towers(state, path, list(unknown), read_sizes)
    found = heads.shapes_above(state)
    if not found:
        return name
    tower = read_sizes(state, 'backbone.', path)
    above = heads.HeadSizes.from_state(state, tower.width, tower.embed_dim, path)
    problems = describe(above.shapes(), found)
    if problems:
        raise refuse(f'the tensors of an F-ViT with {above}', path, problems,
                     'check that the file is complete and holds this model and nothing else')
    return f'{name}, {above}'


def official(state: Mapping[str, Tensor]) -> str:
    """The authors' layout: of a detector theirs, of towers those of the CLIP that they took."""
    if heads.shapes_above(state):
        return 'fvit'
    return 'eva' if is_eva(state) else 'openai'


def check(checkpoint: Checkpoint, path: str | Path, to: str) -> str:
    """Description of the model, after a check that its tensors are complete."""
    return check_parts(checkpoint.state, path)


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
