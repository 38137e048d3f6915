"""What the RegionCLIP benchmark has to do for each seed: units that are kept."""
from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from glipkit.apis.build import build_model
from glipkit.apis.training import load_config
from glipkit.checkpoints import load_backbone, load_text_encoder, save_checkpoint
from glipkit.claims import region_clip_boxes  # noqa: F401 - registers the source of boxes
from glipkit.claims.made_worlds import WorldsSetup
from glipkit.claims.pretraining import pretrain, score
from glipkit.claims.region_clip_scores import (
    Things,
    picture_accuracy,
    read_towers,
    region_ranks,
    write_pool,
)
from glipkit.evaluation.functional import region_accuracy
from glipkit.runs.locks import locked
from glipkit.runs.results import write_json
from glipkit.runs.units import Unit
from glipkit.worlds import stamps, things

CLIP, REGIONS, TRANSFER, DETECTOR = (
    f'configs/region_clip/{name}.py' for name in (
        'clip-mini_things', 'regionclip-mini_things_pretrain', 'regionclip-mini_things_transfer',
        'regionclip-mini_things'))
#: Side of the pictures as models see them; a teacher may see them larger.
SIDE = 96


@dataclass(frozen=True)
class Experiment:
    """One region pre-training.

    Args:
        losses: Weights of its losses that are not 1.
        larger: How much larger the teacher sees the pictures.
        anew: Whether the student's attention pooling begins anew.
        rate: Learning rate: higher where there is further to go.
    """
    losses: Mapping[str, float]
    larger: float = 1.
    anew: bool = False
    rate: float = 0.003


EXPERIMENTS = {
    'recovery': Experiment(dict(caption=0.), anew=True, rate=0.02),
    'stronger': Experiment({}, larger=2., rate=0.005),
    'all-losses': Experiment({}),
    'captions-alone': Experiment(dict(contrast=0., distill=0.))}
#: Variant of the transfer -> its loss.
VARIANTS = {'scaled': dict(background_weight=.2, gamma=.5),
            'plain': dict(background_weight=1., gamma=0.)}
#: Ranking of boxes -> how their logit enters.
RANKINGS = {'p': 'none', 'sqrt(p * sigmoid)': 'sigmoid', 'sqrt(p * logit)': 'raw'}
#: For first estimates: seconds of one thread of an EPYC for an iteration.
CLIP_SECONDS, REGION_SECONDS, TRANSFER_SECONDS = .12, .15, .1


@dataclass(frozen=True)
class Setup(WorldsSetup):
    """What all seeds share.

    Args:
        folder: Folder of everything that is kept.
        pictures: Detection pictures to train on, and as many captioned ones.
        val_pictures: Pictures to score on.
        clip_iters: Iterations of the image-text model.
        region_iters: Iterations of every region pre-training.
        transfer_iters: Iterations of every detector.
        stamp_pictures: Detection pictures of the stamps world, and as many captioned ones; 0
            leaves the photographs out.
        stamp_iters: Iterations of the image-text model of photographs.
    """
    clip_iters: int
    region_iters: int
    transfer_iters: int
    stamp_pictures: int
    stamp_iters: int


def make_worlds(setup: Setup, stamps_dir: Path | None = None) -> None:
    """Draws both worlds, once, however many processes ask for it.

    Args:
        setup: Setup of the run.
        stamps_dir: Folder of stamps, as ``build`` of the stamps world takes it.
    """
    count = dict(num_train_det=setup.pictures, num_train_grd=setup.pictures,
                 num_val=setup.val_pictures, workers=1)
    with locked(setup.folder / 'worlds.lock'):
        things.build(setup.world, **count)
        if setup.stamp_pictures:
            count.update(num_train_det=setup.stamp_pictures, num_train_grd=setup.stamp_pictures)
            # Fruit and vegetables: of other folders some are kept for tests of another kind.
            stamps.build(setup.stamps, stamps_dir=stamps_dir, grouping='food', **count)


def plan_units(setup: Setup, seeds: Iterable[int]) -> list[Unit]:
    """All units of all seeds, each after those that it needs."""
    return [Unit(f'{unit}-{seed}', setup.result(unit, seed), seconds, partial(work, setup, seed))
            for seed in seeds for unit, seconds, work in _units(setup)]


def _units(setup: Setup) -> Iterator[tuple[str, float, Callable[[Setup, int], None]]]:
    """Name, expected seconds, and the work of a seed's units."""
    yield 'clip', setup.clip_iters * CLIP_SECONDS, train_clip
    for name in EXPERIMENTS:
        yield name, setup.region_iters * REGION_SECONDS, partial(train_regions, name)
    for name in VARIANTS:
        yield (f'transfer-{name}', setup.transfer_iters * TRANSFER_SECONDS + 20,
               partial(train_detector, name))
    if setup.stamp_pictures:
        yield 'photographs', setup.stamp_iters * CLIP_SECONDS, train_stamps


def train_clip(setup: Setup, seed: int) -> None:
    """Trains the image-text model on pictures of one thing each, and scores its regions."""
    weights = setup.weights('clip', seed)
    if not weights.is_file():
        pretrain(CLIP, setup.world, setup.clip_iters, weights, {'randomness.seed': seed})
    towers = read_towers(load_config(CLIP), weights)
    pool = setup.weights('pool', seed)
    if not pool.is_file():
        write_pool(towers, things.NAMES, pool)
    scores = region_scores(setup, weights)
    truth = Things.read(setup.world)
    large = _shares(region_ranks(towers, truth, SIDE, 2.), truth)
    write_json(setup.result('clip', seed), {'seed': seed, **scores, 'twice as large': large})


def region_scores(setup: Setup, weights: Path) -> dict[str, Any]:
    """Top-1 of a model's true boxes by the size of the thing, and of pictures of one thing."""
    truth, towers = Things.read(setup.world), read_towers(load_config(CLIP), weights)
    return {'regions': _shares(region_ranks(towers, truth, SIDE), truth),
            'pictures': picture_accuracy(towers, truth).overall['top1'],
            'names': len(truth.names), 'boxes': len(truth.all_labels())}


def _shares(ranks: Any, truth: Things) -> dict[str, float]:
    """Top-1 over all names of small and of large things, and of all."""
    labels, small = truth.all_labels(), truth.sides() < things.SMALL
    parts = {'small': small, 'large': ~small, 'all': small | ~small}
    return {name: region_accuracy(ranks[part], labels[part], len(truth.names)).overall['top1']
            for name, part in parts.items()}


def train_regions(name: str, setup: Setup, seed: int) -> None:
    """Region pre-training of one of `EXPERIMENTS` from the seed's image-text model."""
    plan = EXPERIMENTS[name]
    weights, clip = setup.weights(name, seed), setup.weights('clip', seed)

    def change(cfg: Config) -> None:
        cfg.model.update(
            concepts=str(setup.weights('pool', seed)), loss_weights=dict(plan.losses),
            teacher_scale=plan.larger, regions=None)
        cfg.model.box_source = boxes_of(setup, 'grd_train.jsonl', near=3, anywhere=4)
        cfg.load_from = str(start_anew(cfg, clip, start_of(weights), seed) if plan.anew else clip)

    if not weights.is_file():
        options = {'randomness.seed': seed, 'optim_wrapper.optimizer.lr': plan.rate}
        pretrain(REGIONS, setup.world, setup.region_iters, weights, options, change)
    found = {'seed': seed, **region_scores(setup, weights)}
    if plan.anew:
        found['before'] = region_scores(setup, start_of(weights))['regions']
    write_json(setup.result(name, seed), found)


def start_of(weights: Path) -> Path:
    """File of the weights that a training starts from."""
    return weights.with_name(f'{weights.stem}-start.safetensors')


def boxes_of(setup: Setup, ann_file: str, **kwargs: Any) -> dict[str, Any]:
    """Config of the source of boxes for an annotation file of the things world."""
    return dict(type='glipkit.NoisyBoxes', ann_file=str(setup.world / 'annotations' / ann_file),
                size=(things.DEFAULT_IMAGE_SIZE, ) * 2, **kwargs)


def start_anew(cfg: Config, clip: Path, path: Path, seed: int) -> Path:
    """Writes a start whose student has a new attention pooling; the teacher keeps its own."""
    # Not the seed that the image-text model began with: its first pooling is close to its last.
    torch.manual_seed(1000 + seed)
    model = build_model(cfg)
    anew = copy.deepcopy(model.backbone.attnpool)
    for part, load in ((model.backbone, load_backbone), (model.teacher_backbone, load_backbone),
                       (model.text_encoder, load_text_encoder)):
        load(part, clip)
    model.backbone.attnpool = anew
    save_checkpoint(model, path, force=True)
    return path


def train_detector(variant: str, setup: Setup, seed: int) -> None:
    """Trains a detector on the boxes of base names, and scores it on all names."""
    name = f'transfer-{variant}'
    weights = setup.weights(name, seed)

    def change(cfg: Config) -> None:
        cfg.model.box_source = boxes_of(setup, 'det_train.json')
        cfg.model.roi_head.loss_cls.update(VARIANTS[variant])
        cfg.load_from = str(setup.weights('stronger', seed))

    if not weights.is_file():
        pretrain(TRANSFER, setup.world, setup.transfer_iters, weights, {'randomness.seed': seed},
                 change)
    found = {ranking: detector_scores(setup, weights, fusion)
             for ranking, fusion in RANKINGS.items()}
    write_json(setup.result(name, seed), {'seed': seed, 'rankings': found})


def detector_scores(setup: Setup, weights: Path, fusion: str) -> dict[str, float]:
    """COCO metrics on validation pictures, all names asked at once."""

    def change(cfg: Config) -> None:
        cfg.model.box_source = boxes_of(setup, 'val.json')
        cfg.model.test_cfg.fusion = fusion

    return score(TRANSFER, setup.world, weights, change)


def train_stamps(setup: Setup, seed: int) -> None:
    """Trains an image-text model on photographs, and names the boxes of validation pictures."""
    weights = setup.weights('photographs', seed)
    if not weights.is_file():
        pretrain(CLIP, setup.stamps, setup.stamp_iters, weights, {'randomness.seed': seed})
    write_json(setup.result('photographs', seed), {'seed': seed, **stamp_scores(setup, weights)})


def stamp_scores(setup: Setup, weights: Path) -> dict[str, Any]:
    """Accuracy over all names of the given boxes: seen, named in captions alone, and unseen."""
    truth, towers = Things.read(setup.stamps), read_towers(load_config(CLIP), weights)
    groups = json.loads((setup.stamps / 'annotations/splits.json').read_text(encoding='utf-8'))
    labels, ranks = truth.all_labels(), region_ranks(towers, truth, 128)
    found = region_accuracy(ranks, labels, len(truth.names), {
        group: [truth.names.index(name) for name in names] for group, names in groups.items()})
    return {'overall': found.overall, 'groups': found.groups, 'names': found.classes,
            'boxes': found.regions, 'pictures': picture_accuracy(towers, truth).overall['top1'],
            'sizes': {group: len(names) for group, names in groups.items()}}
