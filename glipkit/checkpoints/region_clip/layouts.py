"""The layouts of RegionCLIP's pre-trainings and detectors, and the way between them.

``official``  microsoft/RegionCLIP: ``{'model': {'lang_encoder...': tensor, 'roi_heads...': ...}}``
``openai``    the towers alone under OpenAI's names
``glipkit``   ours: ``backbone``, ``teacher_backbone``, ``text_encoder``, ``roi_head``
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from glipkit.checkpoints.clip import layouts as clip
from glipkit.checkpoints.clip.structure import ClipResNetSizes
from glipkit.checkpoints.clip.tables import SIDE_KEYS as CLIP_SIDE_KEYS
from glipkit.checkpoints.differences import describe, fold, refuse, shapes_of
from glipkit.checkpoints.family import ADDED_TEXT, OWN, Checkpoint, Translated
from glipkit.checkpoints.key_table import KeyTable, Row
from glipkit.errors import UserError

CONTAINERS = {'official': 'model', 'openai': ''}
_WRAPPED = 'module.'
_OFFICIAL = re.compile(r'lang_encoder\.|offline_(backbone|proposal_generator)\.'
                       r'|roi_heads\.box_predictor\.(test_cls_score|cls_bg_score)\.')
_IMAGE = re.compile(r'backbone\.(bottom_up\.)?(attnpool|layer\d)\.')
_FPN = re.compile(r'backbone\.bottom_up\.')
_OWN = re.compile(r'roi_head\.|teacher_backbone\.')
_ROI_HEAD = 'roi_head.'

# Held by official files beside the model: the offline proposal network, class matrices, which our
# models make from words, and pixel statistics.
SIDE_KEYS = re.compile(
    r'offline_(backbone|proposal_generator)\..*|pixel_(mean|std)'
    r'|roi_heads\.box_predictor\.(cls_score|cls_bg_score|test_cls_score)\..*')

TABLE = KeyTable([
    Row('backbone.{tail}', 'backbone.{tail}'),
    Row('teacher_backbone.{tail}', 'teacher_backbone.{tail}'),
    Row('text_encoder.{tail}', 'lang_encoder.{tail}'),
    Row('roi_head.bbox_pred.{param}', 'roi_heads.box_predictor.bbox_pred.{param}'),
    Row('roi_head.mask_head.{tail}', 'roi_heads.mask_head.{tail}'),
])


def detect(keys: Iterable[str]) -> tuple[str, str] | None:
    """The layout of a state dict and the prefix of its keys (``''`` or ``'module.'``); None when
    the keys are those of neither a pre-training nor a detector with CLIP's image tower."""
    keys = list(keys)
    for prefix in ('', _WRAPPED):
        own = [key[len(prefix):] for key in keys if key.startswith(prefix)]
        if not any(map(_IMAGE.match, own)):
            continue
        if any(map(_OFFICIAL.match, own)) or any(map(_FPN.match, own)):
            return 'official', prefix
        if any(key.startswith('backbone.attnpool.') for key in own) and any(map(_OWN.match, own)):
            return OWN, prefix
    return None


def to_own(state: dict[str, Tensor], layout: str, prefix: str, path: str | Path) -> Checkpoint:
    """A complete checkpoint from tensors of the official layout; see :class:`~.family.Family`.

    Raises:
        UserError: A tensor is missing, unknown or of another shape, or the model has a feature
            pyramid.
    """
    if any(map(_FPN.match, state)):
        raise UserError('a RegionCLIP model of the C4 form (backbone.layer1...), as all released '
                        'ones are', f'{path} with a feature pyramid (backbone.bottom_up...)',
                        'train its C4 form instead, CLIP_fast_rcnn_R_50_C4')
    aside = {key: state.pop(key) for key in list(state)
             if SIDE_KEYS.fullmatch(key) or CLIP_SIDE_KEYS.fullmatch(key)}
    ours, unknown, _ = TABLE.translate(state, to_ours=True)
    checkpoint = Checkpoint(ours, layout, {'layout': layout, 'prefix': prefix}, aside)
    check_parts(ours, path, unknown)
    return checkpoint


def from_own(checkpoint: Checkpoint, layout: str) -> Translated:
    """The state dict of the official layout or OpenAI's; see :class:`~.family.Family`.

    A text encoder that was added to a detector does not go back into its official file.
    """
    if layout != 'official':
        return clip.from_own(checkpoint, layout)
    home = checkpoint.source if checkpoint.source.get('layout') == layout else {}
    ours, left = dict(checkpoint.state), []
    if ADDED_TEXT in checkpoint.source:
        left = [key for key in ours if key.startswith('text_encoder.')]
        ours = {key: tensor for key, tensor in ours.items() if key not in left}
    state, unknown, _ = TABLE.translate(ours, to_ours=False)
    if unknown:
        raise refuse(f'tensors that the {layout} layout knows', 'this checkpoint',
                     [f'{len(unknown)} unexpected: {fold(unknown)}'],
                     'convert RegionCLIP models only')
    if home:
        state.update(checkpoint.aside)
    else:
        left += checkpoint.aside
    prefix = home.get('prefix', '')
    return Translated({prefix + key: tensor for key, tensor in state.items()}, 0, tuple(left))


def check_parts(state: Mapping[str, Tensor], path: str | Path, unknown: Iterable[str] = ()) -> str:
    """Compares towers and heads with those that their own tensors make up.

    Returns:
        The description of the model.

    Raises:
        UserError: With every tensor that is missing, unknown, or of another shape.
    """
    name = clip.check_towers(state, path, list(unknown))
    found = {key: shape for key, shape in shapes_of(state).items() if key.startswith(_ROI_HEAD)}
    if not found:
        return f'{name}, no box head'
    image = ClipResNetSizes.from_state(state, 'backbone.', path)
    wanted = {'roi_head.bbox_pred.weight': (4, image.embed_dim), 'roi_head.bbox_pred.bias': (4, )}
    masks = any(key.startswith('roi_head.mask_head.') for key in found)
    if masks:
        channels = found.get('roi_head.mask_head.deconv.bias', (256, ))[0]
        wanted |= {'roi_head.mask_head.deconv.weight': (32 * image.width, channels, 2, 2),
                   'roi_head.mask_head.deconv.bias': (channels, ),
                   'roi_head.mask_head.predictor.weight': (1, channels, 1, 1),
                   'roi_head.mask_head.predictor.bias': (1, )}
    name += ', box and mask head' if masks else ', box head'
    problems = describe(wanted, found)
    if problems:
        raise refuse(f'the tensors of {name}', path, problems,
                     'check that the file is complete and holds this model and nothing else')
    return name


def check(checkpoint: Checkpoint, path: str | Path, to: str) -> str:
    """Description of the model, after a check that its tensors are complete."""
    return check_parts(checkpoint.state, path)
