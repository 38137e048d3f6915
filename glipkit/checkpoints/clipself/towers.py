"""Published files of CLIP image transformers, for backbones by themselves."""
from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor

from glipkit.checkpoints.clip.tables import SIDE_KEYS
from glipkit.checkpoints.clipself.layouts import ROTARY
from glipkit.checkpoints.family import BACKBONE, PartState, Tower

_OUTER = re.compile(r'^(module\.)?(visual\.|backbone\.)?')


def _is_image_tower(keys: Iterable[str]) -> bool:
    keys = set(keys)
    return {'cls_token', 'blocks.0.attn.q_bias'} <= keys or \
        {'class_embedding', 'ln_pre.weight', 'transformer.resblocks.0.ln_1.weight'} <= keys


def _read_image_tower(state: dict[str, Tensor]) -> PartState:
    """Files with an image tower alone; those with both towers are recognised as a whole."""
    found, aside = {}, []
    for key, tensor in state.items():
        tail = _OUTER.sub('', key)
        if ROTARY.fullmatch(tail) or SIDE_KEYS.fullmatch(tail):
            aside.append(key)
        else:
            found[tail] = tensor
    return PartState(found, [], aside)


CLIP_VIT = Tower(BACKBONE, _is_image_tower, _read_image_tower)
