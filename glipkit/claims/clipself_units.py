"""What the CLIPSelf benchmark has to do for each seed: units that are kept."""
from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from glipkit.apis.build import build_model
from glipkit.apis.training import load_config, move_data
from glipkit.checkpoints import load_backbone, load_text_encoder, save_checkpoint
from glipkit.checkpoints.interpolation import between
from glipkit.claims.clipself_scores import (
    attended_features,
    centred,
    crop_features,
    region_features,
    retrieval,
    top1,
)
from glipkit.claims.made_worlds import WorldsSetup
from glipkit.claims.pretraining import pretrain, score
from glipkit.claims.region_clip_scores import Things, Towers, read_towers, region_ranks
from glipkit.runs.locks import locked
from glipkit.runs.results import write_json
from glipkit.runs.units import Unit
from glipkit.worlds import stamps, things

VIT, GRID, PROPOSALS, REGIONS, FVIT = (
    f'configs/clipself/{name}.py' for name in (
        'clip-vit-mini_things', 'clipself-mini_things_distil',
        'clipself-mini_things_distil-proposals', 'clipself-mini_things', 'fvit-mini_things'))
CNN = 'configs/region_clip/clip-mini_things.py'
#: Side of the pictures whose maps are asked.
SIDE, STAMP_SIDE = 192, 256
#: Side of a crop as a multiple of its box's, as the teacher of the protocol sees things.
CROP_SCALE = 1.5
#: Pictures whose pixels are named.
PIXEL_PICTURES = 100
#: Shares of the student in the ensemble curve.
ALPHAS = (0., .3, .5, .7, .9, 1.)
#: The distilled tower whose weights are mixed and whose map is drawn.
CHOSEN = 'proposals'


@dataclass(frozen=True)
class Distillation:
    """One training from crops.

    Args:
        config: Config of it.
        iters: Which of the setup's numbers of iterations it takes.
        mismatched: Whether every box gets the crop of another one.
    """
    config: str
    iters: str
    mismatched: bool = False


DISTILLATIONS = {
    'grid': Distillation(GRID, 'grid_iters'),
    'proposals': Distillation(PROPOSALS, 'proposal_iters'),
    'shuffled': Distillation(GRID, 'shuffled_iters', mismatched=True)}
#: Detector -> the tower that it stands on.
DETECTORS = {'plain': 'vit', 'grid': 'grid', 'distilled': 'proposals'}
#: For first estimates: seconds of one thread of an EPYC for an iteration.
CLIP_SECONDS, DISTIL_SECONDS, DETECTOR_SECONDS, SCORE_SECONDS = .14, .21, .26, 20


@dataclass(frozen=True)
class Setup(WorldsSetup):
    """What all seeds share.

    Args:
        folder: Folder of everything that is kept.
        pictures: Detection pictures to train on, and as many captioned ones.
        val_pictures: Pictures to score on.
        clip_iters: Iterations of the image transformer's pre-training.
        cnn_iters: Of the CNN's.
        grid_iters: Of the distillation from the cells of grids.
        proposal_iters: Of that from boxes without labels.
        shuffled_iters: Of the control.
        detector_iters: Of every detector.
        stamp_iters: Of the image transformer of photographs; 0 leaves the photographs out.
        stamp_distil_iters: Of its distillation.
    """
    clip_iters: int
    cnn_iters: int
    grid_iters: int
    proposal_iters: int
    shuffled_iters: int
    detector_iters: int
    stamp_iters: int
    stamp_distil_iters: int


def make_worlds(setup: Setup, stamps_dir: Path | None = None) -> None:
    """Draws both worlds with their masks, once, however many processes ask for it.

    Args:
        setup: Setup of the run.
        stamps_dir: Folder of stamps, as ``build`` of the stamps world takes it.
    """
    count = dict(num_train_det=setup.pictures, num_train_grd=setup.pictures,
                 num_val=setup.val_pictures, workers=1, masks=True)
    with locked(setup.folder / 'worlds.lock'):
        things.build(setup.world, **count)
        if setup.stamp_iters:
            stamps.build(setup.stamps, stamps_dir=stamps_dir, grouping='food', **count)


def plan_units(setup: Setup, seeds: Iterable[int]) -> list[Unit]:
    """All units of all seeds, each after those that it needs."""
    return [Unit(f'{unit}-{seed}', setup.result(unit, seed), seconds, partial(work, setup, seed))
            for seed in seeds for unit, seconds, work in _units(setup)]


def _units(setup: Setup) -> Iterator[tuple[str, float, Callable[[Setup, int], None]]]:
    """Name, expected seconds, and the work of a seed's units."""
    yield 'vit', setup.clip_iters * CLIP_SECONDS + SCORE_SECONDS, train_vit
    for name, plan in DISTILLATIONS.items():
        yield (name, getattr(setup, plan.iters) * DISTIL_SECONDS + SCORE_SECONDS,
               partial(distil, name))
    yield 'ensemble', SCORE_SECONDS * 2, score_ensemble
    for name in DETECTORS:
        yield (f'fvit-{name}', setup.detector_iters * DETECTOR_SECONDS + SCORE_SECONDS,
               partial(train_detector, name))
    yield 'cnn', setup.cnn_iters * CLIP_SECONDS + SCORE_SECONDS, train_cnn
    if setup.stamp_iters:
        yield ('photographs', setup.stamp_iters * CLIP_SECONDS
               + setup.stamp_distil_iters * DISTIL_SECONDS + 2 * SCORE_SECONDS, train_stamps)


# -- towers ---------------------------------------------------------------------------------------


def train_vit(setup: Setup, seed: int) -> None:
    """Trains the image transformer on pictures of one thing each, and scores crops and map."""
    weights = setup.weights('vit', seed)
    if not weights.is_file():
        pretrain(VIT, setup.world, setup.clip_iters, weights, {'randomness.seed': seed})
    towers, truth = read_towers(load_config(REGIONS), weights), Things.read(setup.world)
    attended = attended_features(towers, truth, SIDE)
    write_json(setup.result('vit', seed), {
        'seed': seed, **all_scores(setup, weights, weights),
        'attended': shares(attended, towers.words(truth.names), truth)})


def distil(name: str, setup: Setup, seed: int) -> None:
    """One of `DISTILLATIONS`, from the seed's image transformer."""
    plan, weights, teacher = (DISTILLATIONS[name], setup.weights(name, seed),
                              setup.weights('vit', seed))
    if not weights.is_file():
        distil_to(plan.config, setup.world, getattr(setup, plan.iters), teacher, weights, seed,
                  plan.mismatched)
    write_json(setup.result(name, seed), {'seed': seed, **all_scores(setup, weights, teacher)})


def distil_to(config: str, world: Path, iters: int, teacher: Path, weights: Path, seed: int,
              mismatched: bool = False) -> None:
    """Distils a teacher, and writes the student with the teacher's words as one model."""
    student = weights.with_name(f'{weights.stem}-student.safetensors')

    def change(cfg: Config) -> None:
        cfg.load_from, cfg.model.mismatched = str(teacher), mismatched

    if not student.is_file():
        pretrain(config, world, iters, student, {'randomness.seed': seed}, change)
    write_model(student, teacher, weights)


def write_model(tower: Path, words: Path, weights: Path) -> None:
    """Writes a model that names boxes, in half precision, from the files of its two parts."""
    model = build_model(load_config(REGIONS))
    load_backbone(model.backbone, tower)
    load_text_encoder(model.text_encoder, words)
    save_checkpoint(model, weights, force=True, dtype=torch.float16)


# -- scores of towers -----------------------------------------------------------------------------


def all_scores(setup: Setup, weights: Path, teacher: Path) -> dict[str, Any]:
    """Boxes and pixels of the things world, as one model's map names them."""
    cfg, truth = load_config(REGIONS), Things.read(setup.world)
    return {**tower_scores(read_towers(cfg, weights), read_towers(cfg, teacher), truth, SIDE),
            'pixels': pixel_scores(setup.world, weights, 'things')}


def tower_scores(towers: Towers, teacher: Towers, truth: Things, side: int) -> dict[str, Any]:
    """What a map says of boxes, and what the class token says of crops of them.

    Args:
        towers: What is scored.
        teacher: Whose crops the boxes are compared with.
        truth: Pictures and boxes.
        side: Side that the pictures are resized to.
    """
    regions = region_features(towers, truth, side)
    crops = crop_features(teacher, truth, CROP_SCALE)
    words, labels = towers.words(truth.names), truth.all_labels()
    own = crops if towers is teacher else crop_features(towers, truth, CROP_SCALE)
    return {'regions': shares(regions, words, truth), 'crops': shares(own, words, truth),
            'retrieval': retrieval(regions, crops),
            'centred cosine': float((centred(regions) * centred(crops)).sum(1).mean()),
            'names': len(truth.names), 'boxes': len(labels)}


def shares(features: Tensor, words: Tensor, truth: Things) -> dict[str, float]:
    """Top-1 over all names of small and of large things, and of all, from 0 to 1."""
    labels, small = truth.all_labels(), truth.sides() < things.SMALL
    return {name: top1(features[part], words, labels[part]) / 100
            for name, part in {'small': small, 'large': ~small, 'all': small | ~small}.items()
            if part.any()}


def pixel_scores(world: Path, weights: Path, data: str) -> dict[str, float]:
    """Mean IoU of the pixels of things.

    Args:
        world: Folder of the world.
        weights: File of a model.
        data: What the world is called.
    """

    def change(cfg: Config) -> None:
        move_data(cfg, f'data/{data}/', f'{world}/')
        cfg.test_dataloader.dataset.indices = PIXEL_PICTURES

    return score(REGIONS, world, weights, change, f'{data}_semantic')


def score_ensemble(setup: Setup, seed: int) -> None:
    """Scores weights between the teacher's and the student's."""
    cfg, truth = load_config(REGIONS), Things.read(setup.world)
    teacher, towers = (read_towers(cfg, setup.weights(name, seed)) for name in ('vit', CHOSEN))
    begun, learned = teacher.backbone.state_dict(), copy.deepcopy(towers.backbone.state_dict())
    found = {}
    for alpha in ALPHAS:
        towers.backbone.load_state_dict(between(learned, begun, alpha))
        found[f'{alpha:g}'] = tower_scores(towers, teacher, truth, SIDE)
    write_json(setup.result('ensemble', seed), {'seed': seed, 'alphas': found})


# -- the other units ------------------------------------------------------------------------------


def train_cnn(setup: Setup, seed: int) -> None:
    """Trains a CNN on pictures of one thing each, and scores crops and regions."""
    weights = setup.weights('cnn', seed)
    if not weights.is_file():
        pretrain(CNN, setup.world, setup.cnn_iters, weights, {'randomness.seed': seed})
    towers, truth = read_towers(load_config(CNN), weights), Things.read(setup.world)
    words = towers.words(truth.names)
    ranks = torch.from_numpy(region_ranks(towers, truth, SIDE))
    small = torch.from_numpy(truth.sides() < things.SMALL)
    parts = {'small': small, 'large': ~small, 'all': small | ~small}
    write_json(setup.result('cnn', seed), {
        'seed': seed, 'crops': shares(crop_features(towers, truth, CROP_SCALE), words, truth),
        'regions': {name: float((ranks[part] == 0).float().mean())
                    for name, part in parts.items() if part.any()}})


def train_detector(name: str, setup: Setup, seed: int) -> None:
    """Trains one of `DETECTORS` on the boxes of base names, and scores it on all names."""
    weights = setup.weights(f'fvit-{name}', seed)
    if not weights.is_file():
        pretrain(FVIT, setup.world, setup.detector_iters, weights,
                 {'randomness.seed': seed,
                  'load_from': str(setup.weights(DETECTORS[name], seed))})
    write_json(setup.result(f'fvit-{name}', seed),
               {'seed': seed, **score(FVIT, setup.world, weights)})


def train_stamps(setup: Setup, seed: int) -> None:
    """The same on photographs: a teacher, its distillation, and the pixels of both maps."""
    teacher, weights = (setup.weights(f'stamps-{name}', seed) for name in ('vit', 'distilled'))
    if not teacher.is_file():
        pretrain(VIT, setup.stamps, setup.stamp_iters, teacher, {'randomness.seed': seed})
    if not weights.is_file():
        distil_to(PROPOSALS, setup.stamps, setup.stamp_distil_iters, teacher, weights, seed)
    cfg, truth = load_config(REGIONS), Things.read(setup.stamps)
    towers = read_towers(cfg, teacher)
    write_json(setup.result('photographs', seed), {'seed': seed, **{
        when: {**tower_scores(read_towers(cfg, path), towers, truth, STAMP_SIDE),
               'pixels': pixel_scores(setup.stamps, path, 'stamps')}
        for when, path in (('before', teacher), ('after', weights))}})
