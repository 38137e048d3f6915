"""Keys of the official GLIP checkpoints (microsoft/GLIP) beside ours."""
from __future__ import annotations

import re

from glipkit.checkpoints.glip.swin import swin_rows
from glipkit.checkpoints.glip.tensors import SCALAR
from glipkit.checkpoints.key_table import KeyTable, Row

PREFIX = 'module.'
"""What DistributedDataParallel left before every key of the published files."""

MARKER = 'rpn.head.dyhead_tower.'

# Held by official files and used by no GLIP forward pass of ours: an unused classifier, losses
# that are off in the published recipes, anchors, and buffers of older transformers releases.
SIDE_KEYS = re.compile(
    r'rpn\.head\.(cls_logits|token_logits|mlm_head|contrastive_\w+|shallow_\w+)\b.*'
    r'|rpn\.(tunable_linear|resizer|loss_evaluator|anchor_generator)\..*'
    r'|rpn\.shallow_\w+.*|(rpn\.)?tunable_linear\..*'
    r'|language_backbone\.body\.model\.(pooler\..*|embeddings\.position_ids)'
    r'|language_backbone\.body\.model\.cls\..*')

_FUSION_PROJECTIONS = ('v_proj', 'l_proj', 'values_v_proj', 'values_l_proj', 'out_v_proj',
                       'out_l_proj')


def _fpn_rows(laterals: int) -> list[Row]:
    rows = []
    for level in range(laterals):
        # fpn_layer2 belongs to C3, the first level that GLIP uses.
        rows += [
            Row(f'neck.lateral_convs.{level}.conv.{{param}}',
                f'backbone.fpn.fpn_inner{level + 2}.{{param}}'),
            Row(f'neck.fpn_convs.{level}.conv.{{param}}',
                f'backbone.fpn.fpn_layer{level + 2}.{{param}}'),
        ]
    rows.append(Row(f'neck.fpn_convs.{{extra+{laterals}}}.conv.{{param}}',
                    f'backbone.fpn.top_blocks.p{{extra+{laterals + 3}}}.{{param}}'))
    return rows


def tower_rows(fused: bool, theirs: str, names: tuple[str, str]) -> list[Row]:
    """Rows of the head's tower.

    The official tower is one flat list. With deep fusion each block takes three places (fusion,
    text layer, dynamic convolution), without it one.

    Args:
        fused: Whether the file has deep fusion (all variants but A).
        theirs: Prefix of the tower's keys in the other layout, dot included.
        names: Names of the three convolutions and of the scale attention in that layout.
    """
    ours = 'bbox_head.tower.{block}.'
    place = '{3*block+2}' if fused else '{block}'
    convs, attention = names
    rows = [
        Row(f'{ours}dyconv.convs.{{branch}}.conv.{{param}}',
            f'{theirs}{place}.{convs}.{{branch}}.conv.{{param}}'),
        Row(f'{ours}dyconv.convs.{{branch}}.norm.{{param}}',
            f'{theirs}{place}.{convs}.{{branch}}.bn.{{param}}'),
        Row(f'{ours}dyconv.scale_attention.1.{{param}}',
            f'{theirs}{place}.{attention}.1.{{param}}'),
        Row(f'{ours}dyconv.offset.{{param}}', f'{theirs}{place}.offset.{{param}}'),
        Row(f'{ours}dyconv.task_attention.fc.{{which}}.{{param}}',
            f'{theirs}{place}.relu.fc.{{which}}.{{param}}'),
    ]
    if not fused:
        return rows
    fusion, their_fusion = f'{ours}fusion.', f'{theirs}{{3*block}}.b_attn.'
    for side in 'vl':
        rows += [
            Row(f'{fusion}layer_norm_{side}.{{param}}',
                f'{their_fusion}layer_norm_{side}.{{param}}'),
            Row(f'{fusion}gamma_{side}', f'{their_fusion}gamma_{side}'),
        ]
    rows += [Row(f'{fusion}{name}.{{param}}', f'{their_fusion}attn.{name}.{{param}}')
             for name in _FUSION_PROJECTIONS]
    rows += [Row(f'{ours}text_layer.{part}.{{tail}}', f'{theirs}{{3*block+1}}.{part}.{{tail}}')
             for part in ('attention', 'intermediate', 'output')]
    return rows


def head_rows(theirs: str) -> list[Row]:
    """Rows of the head outside the tower, box scales excepted; ``theirs`` is its key prefix."""
    rows = [Row(f'bbox_head.{name}.{{param}}', f'{theirs}{name}.{{param}}')
            for name in ('bbox_pred', 'centerness')]
    rows.append(Row('bbox_head.alignment.text_projection.{param}',
                    f'{theirs}dot_product_projection_text.{{param}}'))
    rows += [Row(f'bbox_head.alignment.{name}', f'{theirs}{name}')
             for name in ('bias_lang', 'bias0', 'log_scale')]
    return rows


def table(fused: bool, laterals: int) -> KeyTable:
    """The whole table for a file with or without deep fusion and ``laterals`` backbone levels."""
    return KeyTable([
        *swin_rows('backbone.', 'backbone.body.'),
        *_fpn_rows(laterals),
        Row('text_encoder.{tail}', 'language_backbone.body.model.{tail}'),
        *tower_rows(fused, MARKER, ('DyConv', 'AttnConv')),
        *head_rows('rpn.head.'),
        Row('bbox_head.scales.{level}.scale', 'rpn.head.scales.{level}.scale', SCALAR),
    ])
