"""The layouts of a CLIP model with a ResNet, and the way between them.

``openai``   OpenAI's and open_clip's: ``visual.layer1...``, ``transformer.resblocks...``
``timm``     timm's ``resnet50_clip``: the image tower alone, ``stages.0...``, ``head.q...``
``glipkit``  ours: ``backbone.*``, ``text_encoder.*`` and, after a training, ``logit_scale``
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from glipkit.checkpoints.clip import tables
from glipkit.checkpoints.clip.structure import ClipResNetSizes, ClipTextSizes, TowerSizes
from glipkit.checkpoints.differences import describe, refuse, shapes_of
from glipkit.checkpoints.family import OWN, Checkpoint, Translated
from glipkit.errors import UserError

#: An OpenAI state dict stands in no entry: its own loader expects that.
CONTAINERS = {'openai': '', 'timm': ''}
_WRAPPED = 'module.'
_MARKERS = {'openai': re.compile(r'visual\.(layer\d|attnpool)\.'),
            'timm': re.compile(r'stages\.\d+\.\d+\.conv1_1x1\.conv\.')}
_TIMM_HEAD = 'head.pos_embed'  # other ResNets of timm have the same stages
_OWN_MARKER = 'backbone.attnpool.'
#: What a detector or a pre-training has beside the towers.
BEYOND = re.compile(r'roi_heads?\.|teacher_backbone\.|lang_encoder\.|offline_\w+\.')


def detect(keys: Iterable[str]) -> tuple[str, str] | None:
    """The layout of a state dict and the prefix of its keys (``''`` or ``'module.'``); None when
    the keys are those of no CLIP model, or of a model with more than its towers."""
    keys = list(keys)
    for prefix in ('', _WRAPPED):
        own = [key[len(prefix):] for key in keys if key.startswith(prefix)]
        for layout, marker in _MARKERS.items():
            if any(map(marker.match, own)) and (layout != 'timm' or _TIMM_HEAD in own):
                return layout, prefix
        if any(key.startswith(_OWN_MARKER) for key in own) and not any(map(BEYOND.match, own)):
            return OWN, prefix
    return None


def to_own(state: dict[str, Tensor], layout: str, prefix: str, path: str | Path) -> Checkpoint:
    """A complete checkpoint from tensors of another layout; see :class:`~.family.Family`.

    Raises:
        UserError: When a tensor is missing, unknown or of another shape.
    """
    source = {'layout': layout, 'prefix': prefix}
    if layout == 'openai' and (teacher := tables.teacher_prefix(state)) is not None:
        source['teacher_prefix'] = teacher
    aside = {key: state.pop(key) for key in list(state) if tables.SIDE_KEYS.fullmatch(key)}
    ours, unknown, _ = _table(layout, source).translate(state, to_ours=True)
    checkpoint = Checkpoint(ours, layout, source, aside)
    check_towers(checkpoint.state, path, unknown)
    return checkpoint


def _table(layout: str, source: Mapping) -> tables.KeyTable:
    if layout == 'timm':
        return tables.timm()
    return tables.openai(source.get('teacher_prefix', 'teacher_visual.'))


def from_own(checkpoint: Checkpoint, layout: str) -> Translated:
    """The state dict of another layout; see :class:`~.family.Family`.

    What that layout has no place for is named in the result: the text encoder for timm, whatever a
    detector has beside its towers for both.
    """
    home = checkpoint.source if checkpoint.source.get('layout') == layout else {}
    state, left, _ = _table(layout, home).translate(checkpoint.state, to_ours=False)
    if home:
        state.update(checkpoint.aside)
    else:
        left += checkpoint.aside
    prefix = home.get('prefix', '')
    return Translated({prefix + key: tensor for key, tensor in state.items()}, 0, tuple(left))


def check_towers(state: Mapping[str, Tensor], path: str | Path, unknown: Sequence[str] = (),
                 read: Callable[[Mapping[str, Tensor], str, object], TowerSizes]
                 = ClipResNetSizes.from_state) -> str:
    """Compares towers with those that their own tensors make up.

    Args:
        state: Tensors under our keys; parts other than towers are not looked at.
        path: The file, for messages.
        unknown: Keys that could not be renamed.
        read: Reads the sizes of an image tower off its tensors.

    Returns:
        The description of the model.

    Raises:
        UserError: With every tensor that is missing, unknown, or of another shape; or image and
            text features of different widths.
    """
    image = read(state, 'backbone.', path)
    wanted, text = image.shapes('backbone.'), None
    if any(key.startswith('teacher_backbone.') for key in state):
        teacher = read(state, 'teacher_backbone.', path)
        wanted |= teacher.shapes('teacher_backbone.')
    if any(key.startswith('text_encoder.') for key in state):
        text = ClipTextSizes.from_state(state, 'text_encoder.', path)
        wanted |= text.shapes('text_encoder.')
    tower = ('backbone.', 'teacher_backbone.', 'text_encoder.')
    found = {key: shape for key, shape in shapes_of(state).items()
             if key.startswith(tower) and not tables.is_counter(key)}
    name = str(image) if text is None else f'{image}, {text}'
    problems = describe(wanted, found, unknown)
    if problems:
        raise refuse(f'the tensors of {name}', path, problems,
                     'check that the file is complete and holds this model and nothing else')
    if text is not None and text.embed_dim != image.embed_dim:
        raise UserError('image and text features of one width',
                        f'{path} with {image.embed_dim} and {text.embed_dim}',
                        'take both towers from one CLIP model')
    return name


def check(checkpoint: Checkpoint, path: str | Path, to: str) -> str:
    """Description of the model, after a check that its tensors are complete."""
    return check_towers(checkpoint.state, path)


def describe_towers(state: Mapping[str, Tensor]) -> str | None:
    """Description of the model; None where its tensors do not show its sizes."""
    try:
        text = '' if not any(key.startswith('text_encoder.') for key in state) else \
            f", {ClipTextSizes.from_state(state, 'text_encoder.', '')}"
        return f"{ClipResNetSizes.from_state(state, 'backbone.', '')}{text}"
    except UserError:
        return None


def variant(state: Mapping[str, Tensor]) -> str:
    """``'rn50'``, ``'rn101'``, ``'rn50x4'`` or ``'custom'``."""
    try:
        return ClipResNetSizes.from_state(state, 'backbone.', '').variant
    except UserError:
        return 'custom'
