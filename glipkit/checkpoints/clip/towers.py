"""Published files of CLIP towers, for backbones and text encoders by themselves."""
from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor

from glipkit.checkpoints.clip.tables import SIDE_KEYS, is_counter
from glipkit.checkpoints.family import BACKBONE, TEXT_ENCODER, PartState, Tower

_OUTER = re.compile(r'^(module\.)?(visual\.|backbone\.)?')
_OUTER_TEXT = re.compile(r'^(module\.)?(text\.|text_encoder\.|lang_encoder\.)?')


def _is_image_tower(keys: Iterable[str]) -> bool:
    keys = set(keys)
    return {'attnpool.positional_embedding', 'layer1.0.conv1.weight'} <= keys


def _read_image_tower(state: dict[str, Tensor]) -> PartState:
    """Files with an image tower alone; those with both towers are recognised as a whole."""
    found, aside = {}, []
    for key, tensor in state.items():
        if is_counter(key):
            aside.append(key)
        else:
            found[_OUTER.sub('', key)] = tensor
    return PartState(found, [], aside)


def _is_text_encoder(keys: Iterable[str]) -> bool:
    keys = set(keys)
    return {'text_projection', 'transformer.resblocks.0.ln_1.weight'} <= keys


def _read_text_encoder(state: dict[str, Tensor]) -> PartState:
    """Files with a text side, whichever image tower stands beside it."""
    found, aside = {}, []
    for key, tensor in state.items():
        tail = _OUTER_TEXT.sub('', key)
        if tail == 'logit_scale' or tail.startswith('visual.') or SIDE_KEYS.fullmatch(tail):
            aside.append(key)
        else:
            found[tail] = tensor
    return PartState(found, [], aside)


CLIP_RESNET = Tower(BACKBONE, _is_image_tower, _read_image_tower, derived=is_counter)
CLIP_TEXT = Tower(TEXT_ENCODER, _is_text_encoder, _read_text_encoder)
