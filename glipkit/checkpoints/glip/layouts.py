"""The layouts of a GLIP checkpoint, and the way between them.

``official``  microsoft/GLIP: ``{'model': {'module.rpn.head...': tensor}}``
``mmdet``     mmdet's own GLIP: ``{'state_dict': {'bbox_head.head...': tensor}}``
``glipkit``   ours: ``bbox_head.tower...``, the keys of the model's state dict
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from glipkit.checkpoints.counting import count
from glipkit.checkpoints.differences import describe, fold, refuse, shapes_of
from glipkit.checkpoints.family import OWN, Checkpoint, Family, Translated
from glipkit.checkpoints.glip import mmdet_port, official
from glipkit.checkpoints.glip.bert import BERT
from glipkit.checkpoints.glip.structure import Structure
from glipkit.checkpoints.glip.swin import SWIN, is_index_buffer, with_index_buffers
from glipkit.checkpoints.key_table import KeyTable
from glipkit.errors import UserError

_CONTAINERS = {'official': 'model', 'mmdet': 'state_dict'}
_MARKERS = {'official': re.compile(re.escape(official.MARKER)),
            'mmdet': re.compile(re.escape(mmdet_port.MARKER)),
            OWN: re.compile(r'bbox_head\.tower\.\d+\.dyconv\.')}
_SIDE_KEYS = {'official': official.SIDE_KEYS, 'mmdet': mmdet_port.SIDE_KEYS}


def detect(keys: Iterable[str]) -> tuple[str, str] | None:
    """The layout of a state dict and the prefix of its keys (``''`` or ``'module.'``); None when
    the keys are those of no GLIP model."""
    keys = list(keys)
    for prefix in ('', official.PREFIX):
        for layout, marker in _MARKERS.items():
            if any(key.startswith(prefix) and marker.match(key, len(prefix)) for key in keys):
                return layout, prefix
    return None


def to_own(state: dict[str, Tensor], layout: str, prefix: str, path: str | Path) -> Checkpoint:
    """A complete checkpoint from tensors of the official or mmdet's layout.

    Args:
        state: Tensors, their keys without prefix.
        layout: ``'official'`` or ``'mmdet'``.
        prefix: Prefix that the keys had.
        path: Path of the file, for messages.

    Raises:
        UserError: When a tensor is missing, unknown or of another shape.
    """
    aside = {key: state.pop(key) for key in list(state) if _SIDE_KEYS[layout].fullmatch(key)}
    ours, unknown, changed = _table(layout, state).translate(state, to_ours=True)
    scales = [tensor for key, tensor in state.items() if key.endswith('.scales.0.scale')]
    source = {'layout': layout, 'prefix': prefix,
              'scale_axes': scales[0].dim() if scales else int(layout == 'official')}
    checkpoint = Checkpoint(ours, layout, source, aside, len(changed))
    check_complete(checkpoint, path, unknown)
    return checkpoint


def _table(layout: str, state: Mapping[str, Tensor]) -> KeyTable:
    """The table between ``layout`` and ours for a state in either of the two."""
    fused = any('.b_attn.' in key or '.fusion.' in key for key in state)
    if layout == 'mmdet':
        return mmdet_port.table(fused)
    inner = [key for key in state if key.startswith('backbone.fpn.fpn_inner')]
    lateral = count(inner, 'backbone.fpn.fpn_inner') - 2 if inner else \
        count(state, 'neck.lateral_convs.')
    return official.table(fused, max(lateral, 0))


def check_complete(checkpoint: Checkpoint, path: str | Path,
                   unknown: Sequence[str] = ()) -> Structure:
    """Compares a checkpoint with the model that its own tensors make up.

    Args:
        checkpoint: Checkpoint in our layout.
        path: Path of the file, for the message.
        unknown: Keys that could not be renamed.

    Returns:
        The sizes of that model.

    Raises:
        UserError: With every tensor that is missing, unknown, or of another shape.
    """
    structure = Structure.from_state(checkpoint.state, str(path))
    problems = describe(structure.shapes(), shapes_of(checkpoint.state), unknown, is_index_buffer)
    if problems:
        raise refuse(f'the tensors of {structure}', path, problems,
                     'check that the file is complete and holds this model and nothing else')
    return structure


def check(checkpoint: Checkpoint, path: str | Path, to: str) -> str:
    """Description of the model, after a check that its tensors are complete and fit layout ``to``.

    Sizes can be read off a Swin backbone, as published models have. One with another backbone, as
    glip-mini has, exists in our own layout alone; loading compares it with its config. It may be
    without text encoder: one that comes with a package is in no file.
    """
    swin = any(key.startswith('backbone.patch_embed.') for key in checkpoint.state)
    if swin or checkpoint.layout != OWN:
        return str(check_complete(checkpoint, path))
    parts = {key.partition('.')[0] for key in checkpoint.state}
    missing = {'backbone', 'neck', 'bbox_head'} - parts
    if missing:
        raise UserError('a whole GLIP model', f'{path} without {", ".join(sorted(missing))}',
                        'check that the file is complete and of this model family')
    if to != OWN:
        raise UserError(f'a model with a Swin backbone for the {to} layout, which has no other',
                        f'{path} without one', 'pass --to glipkit (to=\'glipkit\')')
    return 'custom: no Swin backbone'


def from_own(checkpoint: Checkpoint, layout: str) -> Translated:
    """The state dict of the official or mmdet's layout.

    Args:
        checkpoint: Complete checkpoint in our layout.
        layout: ``'official'`` or ``'mmdet'``.

    Raises:
        UserError: For tensors that have no place in that layout.
    """
    ours = checkpoint.state if layout == 'official' else with_index_buffers(checkpoint.state)
    state, unknown, changed = _table(layout, ours).translate(ours, to_ours=False)
    if unknown:
        raise refuse(f'tensors that the {layout} layout knows', 'this checkpoint',
                     [f'{len(unknown)} unexpected: {fold(unknown)}'],
                     'convert models of the GLIP family only')
    # What came from this layout goes back with the prefix, the axes and the extras it had.
    home = checkpoint.source if checkpoint.source.get('layout') == layout else {}
    axes = home.get('scale_axes', int(layout == 'official'))
    scales = [key for key in state if '.scales.' in key]
    state.update({key: state[key].reshape((1, ) * axes) for key in scales})
    if home:
        state.update(checkpoint.aside)
    prefix = home.get('prefix', official.PREFIX if layout == 'official' else '')
    return Translated({prefix + key: tensor for key, tensor in state.items()},
                      len(changed) + len(scales) * axes, () if home else tuple(checkpoint.aside))


def structure_of(state: Mapping[str, Tensor]) -> Structure | None:
    """The sizes of a GLIP model; None for one whose backbone is no Swin."""
    try:
        return Structure.from_state(state)
    except UserError:
        return None


def _describe(state: Mapping[str, Tensor]) -> str | None:
    structure = structure_of(state)
    return None if structure is None else str(structure)


def _variant(state: Mapping[str, Tensor]) -> str:
    structure = structure_of(state)
    return 'custom' if structure is None else structure.variant


GLIP = Family('GLIP', _CONTAINERS, detect, to_own, from_own, _describe, _variant, check,
              is_index_buffer, with_index_buffers, (SWIN, BERT))
