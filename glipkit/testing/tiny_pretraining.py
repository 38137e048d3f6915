"""Pre-trainings of some thousand weights on image-text pairs, as configs."""
from __future__ import annotations

from pathlib import Path

TOWERS = '''
default_scope = 'glipkit'
preprocessor = dict(
    type='mmdet.DetDataPreprocessor', mean=[122.771, 116.746, 104.094],
    std=[68.5005, 66.6322, 70.3232], bgr_to_rgb=True, pad_size_divisor=1)
backbone = dict(type='ClipResNet', layers=(1, 1, 1, 1), width=8, embed_dim=24, heads=4,
                image_size=64)
text_encoder = dict(type='ClipTextEncoder', width=16, heads=2, layers=1, embed_dim=24)
'''

CLIP = TOWERS + '''
model = dict(type='ClipPretrainer', data_preprocessor=preprocessor, text_encoder=text_encoder,
             backbone=dict(frozen_stages=0, frozen_norm=False, **backbone))
'''

REGIONS = TOWERS + '''
model = dict(type='RegionClipPretrainer', data_preprocessor=preprocessor, backbone=backbone,
             text_encoder=text_encoder, concepts='{pool}', regions=5,
             box_source=dict(type='RandomBoxes', count=8))
'''

CROPS = TOWERS + '''
model = dict(type='ClipSelfPretrainer', data_preprocessor=preprocessor, crop_batch=3, backbone=dict(
    type='EvaViT', image_size=32, patch=16, width=16, layers=3, heads=1, embed_dim=8, with_cp=True))
custom_hooks = [dict(type='IterSeedHook'), dict(type='InterpolateHook', alpha=0.7)]
'''

PAIRS = '''dict(
        type='ImageCaptions', ann_file='{captions}', data_prefix=dict(img='{images}'),
        pipeline=[dict(type='LoadImage'), dict(type='ShortSideResize', scale=(96, 64)),
                  dict(type='mmdet.RandomFlip', prob=0.5), dict(type='PackGrounding')])'''

ALONE = '''dict(
        type='ImageProposals', ann_file='{captions}', data_prefix=dict(img='{images}'),
        pipeline=[dict(type='LoadImage'), dict(type='GridProposals', max_boxes=6),
                  dict(type='CutCrops', size=32),
                  dict(type='WithProposals', transforms=[dict(type='LongSideResize', size=64)]),
                  dict(type='mmdet.Pad', size=(64, 64)), dict(type='PackGrounding')])'''

TRAINING = '''
_base_ = '{root}/_base_/runtime/default.py'
{model}
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='DrawSampler'),
    dataset=dict(type='MixedDataset', datasets=[{data}]))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=8, val_interval=8)
optim_wrapper = dict(type='ClippingOptimWrapper',
                     optimizer=dict(type='SGD', lr=0.002, momentum=0.9, weight_decay=1e-4),
                     clip_grad=dict(type='tensor_norm', max_norm=5.))
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=4)]
default_hooks = dict(checkpoint=dict(interval=3), logger=dict(interval=1))
'''


def write_config(folder: Path, model: str = CLIP, name: str = 'tiny_pretraining.py') -> Path:
    """Writes the config of a tiny model without data."""
    path = folder / name
    path.write_text(model, encoding='utf-8')
    return path


def write_training(folder: Path, captions: Path, images: Path, pool: Path | None = None) -> Path:
    """Writes the training of a tiny model: of regions with a pool, of both towers without one."""
    model = CLIP if pool is None else REGIONS.replace('{pool}', str(pool))
    return _write(folder, model, PAIRS, captions, images)


def write_crops_training(folder: Path, ann_file: Path, images: Path) -> Path:
    """Writes the training of a tiny map that learns from crops of a COCO json's images."""
    return _write(folder, CROPS, ALONE, ann_file, images)


def _write(folder: Path, model: str, data: str, ann_file: Path, images: Path) -> Path:
    from glipkit.common.paths import config_root
    text = TRAINING.replace('{model}', model).replace('{data}', data)
    path = folder / 'tiny_pretraining.py'
    path.write_text(text.replace('{root}', str(config_root())).replace('{captions}', str(ann_file))
                    .replace('{images}', str(images)), encoding='utf-8')
    return path
