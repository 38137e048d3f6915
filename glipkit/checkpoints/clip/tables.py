"""Keys of CLIP models beside ours: OpenAI's, which open_clip has too, and timm's."""
from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from glipkit.checkpoints.key_table import KeyTable, Row

# Held by files and used by no forward pass of ours: counters of batches, what OpenAI's archives
# keep of their settings, the causal mask, and the second copy of the text side in the files that
# RegionCLIP's pre-training starts from.
SIDE_KEYS = re.compile(
    r'.*\bnum_batches_tracked|input_resolution|context_length|vocab_size|(transformer\..*)?attn_mask'
    r'|teacher[._](?!(backbone\.)?visual\.|backbone\.).*')
#: What stands before the keys of a second image tower, the teacher of a pre-training.
TEACHER = re.compile(r'teacher[._](backbone\.visual|visual|backbone)\.')
COUNTER = '.num_batches_tracked'


def is_counter(key: str) -> bool:
    """Whether a tensor counts the batches of a norm: no result depends on it."""
    return key.endswith(COUNTER)


def openai(teacher: str = 'teacher_visual.') -> KeyTable:
    """OpenAI's and open_clip's keys; ``teacher`` is the prefix of a second image tower."""
    return KeyTable([
        Row('backbone.{tail}', 'visual.{tail}'),
        Row('teacher_backbone.{tail}', f'{teacher}{{tail}}'),
        Row('text_encoder.transformer.{tail}', 'transformer.{tail}'),
        Row('text_encoder.ln_final.{param}', 'ln_final.{param}'),
        *(Row(f'text_encoder.{name}', name) for name in (
            'token_embedding.weight', 'positional_embedding', 'text_projection')),
        Row('logit_scale', 'logit_scale'),
    ])


def teacher_prefix(state: Mapping[str, Tensor]) -> str | None:
    """The prefix of a second image tower in a file; None where there is none."""
    found = next((match for match in map(TEACHER.match, state) if match), None)
    return None if found is None else found[0]


def timm() -> KeyTable:
    """The keys of timm's ``resnet50_clip`` and its relatives; they hold no text encoder."""
    block, theirs = 'backbone.layer{stage+1}.{block}.', 'stages.{stage}.{block}.'
    rows = [Row('backbone.conv{place}.weight', 'stem.conv{place}.conv.weight'),
            Row('backbone.bn{place}.{tail}', 'stem.conv{place}.bn.{tail}')]
    for place, name in enumerate(('conv1_1x1', 'conv2_kxk', 'conv3_1x1'), 1):
        rows += [Row(f'{block}conv{place}.weight', f'{theirs}{name}.conv.weight'),
                 Row(f'{block}bn{place}.{{tail}}', f'{theirs}{name}.bn.{{tail}}')]
    rows += [Row(f'{block}downsample.0.weight', f'{theirs}shortcut.conv.conv.weight'),
             Row(f'{block}downsample.1.{{tail}}', f'{theirs}shortcut.conv.bn.{{tail}}'),
             Row('backbone.attnpool.positional_embedding', 'head.pos_embed')]
    rows += [Row(f'backbone.attnpool.{ours}.{{param}}', f'head.{name}.{{param}}')
             for ours, name in (('q_proj', 'q'), ('k_proj', 'k'), ('v_proj', 'v'),
                                ('c_proj', 'proj'))]
    return KeyTable(rows)
