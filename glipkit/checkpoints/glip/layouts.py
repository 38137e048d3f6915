"""The three layouts of a GLIP checkpoint, and the way between them.

``official``  microsoft/GLIP: ``{'model': {'module.rpn.head...': tensor}}``
``mmdet``     mmdet's own GLIP: ``{'state_dict': {'bbox_head.head...': tensor}}``
``glipkit``   ours: safetensors, or ``{'state_dict': {'bbox_head.tower...': tensor}, 'meta': ...}``

What an official file holds and no model of ours needs travels along in our files under
``_passthrough.``, so that a file that goes through glipkit and back is the same bit for bit.
"""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from glipkit.checkpoints.differences import describe, fold, refuse
from glipkit.checkpoints.files import (
    RawFile,
    dump_source,
    read_file,
    write_pickle,
    write_safetensors,
)
from glipkit.checkpoints.glip import mmdet_port, official
from glipkit.checkpoints.glip.structure import INDEX_BUFFER, Structure, count
from glipkit.checkpoints.key_table import KeyTable
from glipkit.checkpoints.tensors import relative_position_index
from glipkit.errors import UserError

LAYOUTS = ('official', 'mmdet', 'glipkit')
VERSION = 1
ASIDE = '_passthrough.'

_MARKERS = {'official': official.MARKER, 'mmdet': mmdet_port.MARKER, 'glipkit': 'bbox_head.tower.'}
_SIDE_KEYS = {'official': official.SIDE_KEYS, 'mmdet': mmdet_port.SIDE_KEYS}


@dataclass
class Checkpoint:
    """A GLIP checkpoint in our layout, with what is needed to give it back as it came.

    Args:
        state: Keys of our layout and their tensors.
        layout: The layout it was read from.
        source: For a file that once was in another layout: that layout, its key ``prefix``, and
            the ``scale_axes`` (0 or 1) of its box scales.
        aside: Tensors that belong to that layout and not to the model, under their keys there.
        changed: How many tensors were re-ordered or re-shaped on the way to our layout.
        ignored: Top-level entries of the file that are no weights.
    """

    state: dict[str, Tensor]
    layout: str = 'glipkit'
    source: dict[str, Any] = field(default_factory=dict)
    aside: dict[str, Tensor] = field(default_factory=dict)
    changed: int = 0
    ignored: tuple[str, ...] = ()

    def structure(self) -> Structure:
        """The sizes of the model the tensors belong to."""
        return Structure.from_state(self.state)


def detect(keys: Mapping[str, Any], path: str | Path) -> tuple[str, str]:
    """The layout of a state dict and the prefix of its keys (``''`` or ``'module.'``).

    Raises:
        UserError: When the keys are those of no GLIP model.
    """
    for prefix in ('', official.PREFIX):
        for layout, marker in _MARKERS.items():
            if any(key.startswith(prefix + marker) for key in keys):
                return layout, prefix
    raise UserError("a GLIP checkpoint in the official, mmdet's or glipkit's layout",
                    f'{path} with tensors such as {fold(list(keys)[:4])}',
                    'pass a checkpoint of a GLIP model')


def read(path: str | Path) -> Checkpoint:
    """Reads a GLIP checkpoint in whichever layout it is.

    Raises:
        UserError: When it is no GLIP checkpoint, or a tensor is missing, unknown or of the wrong
            shape for the model that the others make up. Files in our own layout are compared with
            a model when they are loaded, and with themselves when they are converted.
    """
    return from_raw(read_file(path), path)


def from_raw(raw: RawFile, path: str | Path) -> Checkpoint:
    """:func:`read` for what has been read already; ``path`` is for messages."""
    layout, prefix = detect(raw.state, path)
    state = {key[len(prefix):] if key.startswith(prefix) else key: tensor
             for key, tensor in raw.state.items()}
    if layout == 'glipkit':
        return _from_own(raw, state, path)
    return _from_other(raw, state, layout, prefix, path)


def _from_own(raw: RawFile, state: dict[str, Tensor], path: str | Path) -> Checkpoint:
    version = raw.metadata.get('version', str(VERSION))
    if not version.isdecimal() or int(version) > VERSION:
        raise UserError(f'a glipkit checkpoint of version {VERSION} or older',
                        f'{path} of version {version}', 'install a newer glipkit')
    source = json.loads(raw.metadata.get('source', '{}'))
    aside = {key[len(ASIDE):]: state.pop(key) for key in list(state) if key.startswith(ASIDE)}
    return Checkpoint(state, 'glipkit', source, aside, 0, raw.ignored)


def _from_other(raw: RawFile, state: dict[str, Tensor], layout: str, prefix: str,
                path: str | Path) -> Checkpoint:
    aside = {key: state.pop(key) for key in list(state) if _SIDE_KEYS[layout].fullmatch(key)}
    table = _table(layout, state)
    ours, unknown, changed = table.translate(state, to_ours=True)
    scales = [tensor for key, tensor in state.items() if key.endswith('.scales.0.scale')]
    source = {'layout': layout, 'prefix': prefix,
              'scale_axes': scales[0].dim() if scales else int(layout == 'official')}
    checkpoint = Checkpoint(ours, layout, source, aside, len(changed), raw.ignored)
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
        checkpoint: In our layout.
        path: For the message.
        unknown: Keys that could not be renamed.

    Returns:
        The sizes of that model.

    Raises:
        UserError: With every tensor that is missing, unknown, or of another shape.
    """
    structure = Structure.from_state(checkpoint.state, str(path))
    found = {key: tuple(tensor.shape) for key, tensor in checkpoint.state.items()}
    said = describe(structure.shapes(), found, unknown)
    if said:
        raise refuse(f'the tensors of {structure}', path, said,
                     'check that the file is complete and holds this model and nothing else')
    return structure


class Written(NamedTuple):
    """What came of a checkpoint: how many tensors were written, how many of them were re-ordered or
    re-shaped on the way from our layout, and the keys kept aside that had no place."""

    tensors: int
    changed: int
    left: tuple[str, ...]


class Translated(NamedTuple):
    """A state dict in another layout: its tensors, how many of them were re-ordered or re-shaped,
    and the keys kept aside that had no place."""

    state: dict[str, Tensor]
    changed: int
    left: tuple[str, ...]


def write(checkpoint: Checkpoint, path: Path, layout: str = 'glipkit') -> Written:
    """Writes a checkpoint in one of the three layouts, atomically.

    Args:
        checkpoint: What to write.
        path: ``.safetensors`` or, for every layout, ``.pth``.
        layout: ``'glipkit'``, ``'official'`` or ``'mmdet'``.
    """
    if layout == 'glipkit':
        return _write_own(checkpoint, path)
    state, changed, left = to_layout(checkpoint, layout)
    if path.suffix == '.safetensors':
        write_safetensors(state, path, {'format': 'pt'})
    else:
        write_pickle({'model' if layout == 'official' else 'state_dict': state}, path)
    return Written(len(state), changed, left)


def _write_own(checkpoint: Checkpoint, path: Path) -> Written:
    try:
        variant = checkpoint.structure().variant
    except UserError:  # a model of ours with another backbone
        variant = 'custom'
    metadata = {'format': 'glipkit', 'version': str(VERSION), 'variant': variant}
    source = checkpoint.source
    if not source and checkpoint.layout != 'glipkit':
        source = {'layout': checkpoint.layout}
    if source:
        metadata['source'] = dump_source(source)
    aside = {ASIDE + key: tensor for key, tensor in checkpoint.aside.items()}
    if path.suffix == '.safetensors':
        write_safetensors({**checkpoint.state, **aside}, path, metadata)
    else:
        # Beside the state dict, not in it: mmengine and plain torch load these files too.
        content = {'state_dict': checkpoint.state, 'meta': metadata}
        write_pickle({**content, 'aside': aside} if aside else content, path)
    return Written(len(checkpoint.state) + len(aside), 0, ())


def to_layout(checkpoint: Checkpoint, layout: str) -> Translated:
    """The state dict of another layout.

    Args:
        checkpoint: In our layout, complete.
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
