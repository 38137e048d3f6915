"""Keys of mmdet's own GLIP (``mmdet.models.detectors.GLIP``) beside ours.

Backbone and neck are the same modules as ours; text encoder and head have other names.
"""
from __future__ import annotations

import re

from glipkit.checkpoints.glip.official import head_rows, tower_rows
from glipkit.checkpoints.glip.tensors import SCALAR
from glipkit.checkpoints.key_table import KeyTable, Row

MARKER = 'bbox_head.head.dyhead_tower.'

# What mmdet's published files keep of the official ones though its model has no place for it.
SIDE_KEYS = re.compile(
    r'bbox_head\.head\.(cls_logits|token_logits|mlm_head|contrastive_\w+|shallow_\w+)\b.*'
    r'|bbox_head\.(tunable_linear|resizer|loss_evaluator|anchor_generator)\..*'
    r'|language_model\.language_backbone\.body\.model\.(pooler\..*|embeddings\.position_ids)')


def table(fused: bool) -> KeyTable:
    """The whole table for a file with or without deep fusion."""
    return KeyTable([
        Row('backbone.{tail}', 'backbone.{tail}'),
        Row('neck.{tail}', 'neck.{tail}'),
        Row('text_encoder.{tail}', 'language_model.language_backbone.body.model.{tail}'),
        *tower_rows(fused, MARKER, ('dyconvs', 'attnconv')),
        *head_rows('bbox_head.head.'),
        # Published files still carry the official axis.
        Row('bbox_head.scales.{level}.scale', 'bbox_head.head.scales.{level}.scale', SCALAR),
    ])
