"""The training of a student; the same call again resumes, to the same weights."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from glipkit.apis.data_sets import AnnotatedImages
from glipkit.checkpoints import read_training_checkpoint
from glipkit.checkpoints.files import write_pickle
from glipkit.common.precision import bfloat16_pays
from glipkit.distil.settings import StudentPlan
from glipkit.distil.students import build_student
from glipkit.engine.resuming import newest_checkpoint
from glipkit.files import make_folder, remove_unfinished, write_text

#: The student's files, below the folder of the run: its config and its averaged weights.
CONFIG, WEIGHTS = 'student.py', 'student.pth'
#: Folder of the training.
FOLDER = 'training'
#: Steps in which the rate rises.
WARM_UP = 50
#: The backbone has learnt before; the rest begins.
TOWER_RATE = 0.1
#: Sizes of an image in training, in parts of the student's.
ZOOM = (.6, 1.4)


def train_student(cfg: Config, plan: StudentPlan, data: AnnotatedImages, out: Path,
                  device: str = 'cpu') -> Path:
    """Trains a student and writes ``student.py`` and ``student.pth``.

    Order, augmentation and noise are functions of seed and step, and a checkpoint holds the rest,
    so that a training that was killed ends with the same weights.

    Args:
        cfg: From `student_config`.
        plan: Length and rate.
        data: Photographs to learn from.
        out: Folder of the run.
        device: Device to train on.

    Returns:
        The file of the weights.
    """
    weights = out / WEIGHTS
    folder = out / FOLDER
    if weights.is_file():
        _remove_checkpoints(folder)  # killed in front of the end, it left them
        return weights
    make_folder(folder)
    remove_unfinished(folder)
    runner = _runner(cfg, plan, data, folder, device)
    runner.train()
    last = read_training_checkpoint(folder / f'iter_{plan.iterations}.pth')
    write_text(out / CONFIG, cfg.pretty_text)
    write_pickle(dict(state_dict=last['state_dict'],
                      meta=dict(dataset_meta=dict(classes=list(cfg.classes)))), weights)
    _remove_checkpoints(folder)
    return weights


def _remove_checkpoints(folder: Path) -> None:
    """A checkpoint is four times as large as the weights, and of no use beside them."""
    for kept in folder.glob('iter_*.pth'):
        kept.unlink()


def _runner(cfg: Config, plan: StudentPlan, data: AnnotatedImages, folder: Path,
            device: str) -> Any:
    """A quiet runner, which resumes at the newest whole checkpoint."""
    from glipkit.engine.runner import GroundingRunner
    newest = newest_checkpoint(folder)
    model = build_student(cfg, plan.seed).to(device)
    fast = plan.precision == 'auto' and bfloat16_pays(device)
    head = getattr(model, 'bbox_head', None)
    if fast and head is not None:
        # Which point learns which box is decided by small differences.
        head.register_forward_hook(lambda *parts: _in_float32(parts[-1]))
    optimizer = dict(
        type='glipkit.AutocastOptimWrapper' if fast else 'OptimWrapper',
        constructor='glipkit.GroundingOptimConstructor',
        optimizer=dict(type='AdamW', lr=plan.rate, weight_decay=0.05),
        paramwise_cfg=dict(bias_decay_mult=0., lr_mults=_rates(cfg)),
        clip_grad=dict(max_norm=35.))
    warm = min(WARM_UP, max(plan.iterations // 10, 1))
    return GroundingRunner(
        model=model, work_dir=str(folder), default_scope='mmdet', log_level='ERROR',
        experiment_name=f'distil_{os.path.abspath(folder)}'.replace(os.sep, '_'),
        randomness=dict(seed=plan.seed), resume=newest is not None,
        load_from=None if newest is None else str(newest),
        cfg=Config(dict(model=cfg.model, optim_wrapper=optimizer)),
        train_dataloader=train_loader(plan, data, cfg.classes),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=plan.iterations,
                       val_interval=plan.iterations + 1),
        optim_wrapper=optimizer,
        param_scheduler=[
            dict(type='LinearLR', start_factor=.02, by_epoch=False, begin=0, end=warm),
            dict(type='CosineAnnealingLR', by_epoch=False, begin=warm, end=plan.iterations,
                 T_max=max(plan.iterations - warm, 1), eta_min=0.)],
        custom_hooks=[
            dict(type='glipkit.IterSeedHook'), dict(type='glipkit.ProgressBarHook'),
            # The average reaches back over a tenth of the training at most.
            dict(type='EMAHook', ema_type='ExpMomentumEMA', update_buffers=True,
                 momentum=min(.002 * 3000 / plan.iterations, .1),
                 gamma=max(plan.iterations // 15, 1))],
        log_processor=dict(type='LogProcessor', window_size=50, by_epoch=False),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=plan.keep_every,
                            max_keep_ckpts=2, save_last=True),
            logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False)))


def _in_float32(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_in_float32(one) for one in value)
    return value.float() if isinstance(value, torch.Tensor) else value


def _rates(cfg: Config) -> dict[str, float]:
    """Factors on the rate: a tower that has learnt before goes slowly."""
    packaged = 'packaged' in cfg.model.get('backbone', {})
    return {'backbone': TOWER_RATE} if packaged else {}


def train_loader(plan: StudentPlan, data: AnnotatedImages, classes: Sequence[str]
                 ) -> dict[str, Any]:
    """Config of the training images; whatever is random in it depends on the draw alone."""
    side = (plan.size, plan.size)
    pipeline: list[Mapping[str, Any]] = [
        dict(type='glipkit.LoadImage', imdecode_backend='fast'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True),
        dict(type='RandomResize', resize_type='mmdet.Resize', scale=side, ratio_range=ZOOM,
             keep_ratio=True),
        dict(type='mmdet.RandomCrop', crop_size=side, allow_negative_crop=True),
        dict(type='mmdet.YOLOXHSVRandomAug'),
        dict(type='mmdet.RandomFlip', prob=0.5),
        dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(4, 4), keep_empty=False),
        dict(type='mmdet.PackDetInputs')]
    dataset = dict(
        type='glipkit.CocoDetection', ann_file=str(data.ann_file.resolve()), pipeline=pipeline,
        data_prefix=dict(img=str(data.images.resolve())),
        metainfo=dict(classes=list(classes)), serialize_data=False)
    return dict(batch_size=plan.batch_size, num_workers=0,
                sampler=dict(type='glipkit.DrawSampler'),
                dataset=dict(type='glipkit.MixedDataset', datasets=[dataset]))
