"""Keys of detectron2's proposal networks on a ResNet beside mmdet's.

RegionCLIP takes its boxes from such a network. Its own files hold one under ``offline_``; the
files of the detectors that they came from hold it as ``backbone`` and ``proposal_generator``.
"""
from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor

from glipkit.checkpoints.clip.tables import is_counter
from glipkit.checkpoints.family import PROPOSALS, PartState, Tower
from glipkit.checkpoints.key_table import KeyTable, Row

_OFFLINE = 'offline_'
_NETWORK = re.compile(r'(backbone|proposal_generator)\.')
#: mmdet's own networks: a detector's proposal head, or a proposal network by itself.
_MMDET = re.compile(r'(rpn_head|bbox_head)\.rpn_')


def table(pyramid: bool, convs: int, prefix: str = '') -> KeyTable:
    """Rows between mmdet's keys, which are ours, and detectron2's.

    Args:
        pyramid: Whether the network has a feature pyramid.
        convs: Convolutions of the head before its outputs.
        prefix: What stands before ``backbone`` and ``proposal_generator``: ``''`` or
            ``'offline_'``.
    """
    theirs = f'{prefix}backbone.bottom_up.' if pyramid else f'{prefix}backbone.'
    block, their_block = 'backbone.layer{stage+1}.{block}.', f'{theirs}res{{stage+2}}.{{block}}.'
    head = f'{prefix}proposal_generator.rpn_head.'
    rows = [
        Row('backbone.conv1.weight', f'{theirs}stem.conv1.weight'),
        Row('backbone.bn1.{tail}', f'{theirs}stem.conv1.norm.{{tail}}'),
        Row(f'{block}bn{{place}}.{{tail}}', f'{their_block}conv{{place}}.norm.{{tail}}'),
        Row(f'{block}conv{{place}}.weight', f'{their_block}conv{{place}}.weight'),
        Row(f'{block}downsample.1.{{tail}}', f'{their_block}shortcut.norm.{{tail}}'),
        Row(f'{block}downsample.0.weight', f'{their_block}shortcut.weight'),
        Row('rpn_head.rpn_cls.{param}', f'{head}objectness_logits.{{param}}'),
        Row('rpn_head.rpn_reg.{param}', f'{head}anchor_deltas.{{param}}'),
        Row('rpn_head.rpn_conv.{place}.conv.{param}', f'{head}conv.conv{{place}}.{{param}}')
        if convs > 1 else Row('rpn_head.rpn_conv.{param}', f'{head}conv.{{param}}'),
    ]
    for ours, name in (('lateral_convs', 'fpn_lateral'), ('fpn_convs', 'fpn_output')):
        place = f'{prefix}backbone.{name}{{level+2}}.'
        rows += [Row(f'neck.{ours}.{{level}}.bn.{{tail}}', f'{place}norm.{{tail}}'),
                 Row(f'neck.{ours}.{{level}}.conv.{{param}}', f'{place}{{param}}')]
    return KeyTable(rows)


def table_of(keys: Iterable[str], prefix: str = '') -> KeyTable:
    """The table of a network with these keys, ours or detectron2's."""
    keys = list(keys)
    pyramid = any('backbone.bottom_up.' in key or key.startswith('neck.') for key in keys)
    convs = sum(bool(re.search(r'rpn_head\.(conv\.conv|rpn_conv\.)\d.*weight$', key))
                for key in keys)
    return table(pyramid, convs, prefix)


def _suits(keys: Iterable[str]) -> bool:
    return 'rpn_head.rpn_cls.weight' in keys


def _read(state: dict[str, Tensor]) -> PartState:
    """Files of detectron2 and of RegionCLIP, and mmdet's own; all but the network is aside."""
    state = {re.sub(r'^module\.', '', key): tensor for key, tensor in state.items()}
    if any(map(_MMDET.match, state)):
        return _of_mmdet(state)
    prefix = _OFFLINE if any(key.startswith(_OFFLINE) for key in state) else ''
    inside = {key: tensor for key, tensor in state.items()
              if key.startswith(prefix) and _NETWORK.match(key, len(prefix))
              and not re.search(r'\.anchor_generator\.', key)}
    found, unknown, _ = table_of(inside, prefix).translate(inside, to_ours=True)
    return PartState(found, unknown, [key for key in state if key not in inside])


def _of_mmdet(state: dict[str, Tensor]) -> PartState:
    found, aside = {}, []
    for key, tensor in state.items():
        if re.match(r'(backbone|neck)\.', key) or _MMDET.match(key):
            found[re.sub(r'^bbox_head\.', 'rpn_head.', key)] = tensor
        else:
            aside.append(key)
    return PartState(found, [], aside)


PROPOSAL_NETWORK = Tower(PROPOSALS, _suits, _read, derived=is_counter)
