"""What of a checkpoint goes into which model that is made of CLIP towers.

A CLIP file, a pre-training and a detector hold different parts, and each may be the beginning of
another one.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from glipkit.checkpoints.clip.tables import is_counter
from glipkit.checkpoints.family import Checkpoint, Fitted
from glipkit.errors import UserError

IMAGE, TEXT, TEACHER = 'backbone', 'text_encoder', 'teacher_backbone'
#: Parts that a model may have and a file need not: the model's own values stay.
_NEW = ('roi_head', 'logit_scale')
#: Parts that a file may have and a model need not.
_DROPPED = (TEXT, TEACHER, 'roi_head', 'logit_scale')
_MASKS = 'roi_head.mask_head.'


def fit(checkpoint: Checkpoint, own: Mapping[str, Tensor], path: str | Path) -> Fitted:
    """The tensors of a checkpoint that a model takes; see :class:`~.family.Family`.

    The teacher of a pre-training begins as the student's weights where the file holds one image
    tower. Box and mask heads stay as initialised where the file is no detector's.

    Raises:
        UserError: The model reads texts and the file holds no text encoder.
    """
    state, wanted, notes = dict(checkpoint.state), _parts(own), []
    held = _parts(state)
    if TEXT in wanted and TEXT not in held:
        raise UserError(
            'a checkpoint with the text encoder, as the model embeds the words it is asked',
            f'{path}, which holds an image side alone', 'add the CLIP weights it was made with: '
            f'glipkit convert {path} with_text.safetensors --text RN50.pt')
    if TEACHER in wanted and TEACHER not in held:
        state |= {f'{TEACHER}{key[len(IMAGE):]}': tensor for key, tensor in state.items()
                  if key.startswith(f'{IMAGE}.')}
        notes.append(f'{TEACHER} begins with the weights of {IMAGE}')
    new = [part for part in _NEW if part in wanted and part not in held]
    untouched = tuple(key for key in own if key.partition('.')[0] in new)
    if new:
        notes.append(f'{", ".join(sorted(_stems(untouched)))} stays as initialised')
    dropped = [key for key in state if _without_use(key, own, wanted)]
    aside = {**checkpoint.aside, **{key: state.pop(key) for key in dropped}}
    return Fitted(replace(checkpoint, state=state, aside=aside), untouched,
                  f'{path}: {"; ".join(notes)}' if notes else '')


def _without_use(key: str, own: Mapping[str, Tensor], wanted: set[str]) -> bool:
    part = key.partition('.')[0]
    if is_counter(key):
        return key not in own
    if key.startswith(_MASKS):
        return not any(name.startswith(_MASKS) for name in own)
    return part in _DROPPED and part not in wanted


def _parts(keys: Iterable[str]) -> set[str]:
    return {key.partition('.')[0] for key in keys}


def _stems(keys: Iterable[str]) -> set[str]:
    """The modules of keys: without ``.weight`` and ``.bias``."""
    return {key.rpartition('.')[0] or key for key in keys}
