"""What the CLIPSelf benchmark has to do for each seed: units that are kept."""
from __future__ import annotations

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
from glipkit.checkpoints.interpolation import between
from glipkit.claims.clipself_scores import centred, crop_features, region_features, retrieval, top1
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
#: Shares of the student in the ensemble curve.
ALPHAS = (0., .3, .5, .7, .9, 1.)
#: The distilled tower that the curve, the detector and the picture take: no box taught it.
CHOSEN = 'grid'


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
DETECTORS = {'plain': 'vit', 'distilled': CHOSEN}
#: For first estimates: seconds of one thread of an EPYC for an iteration.
CLIP_SECONDS, DISTIL_SECONDS, DETECTOR_SECONDS, SCORE_SECONDS = .13, .21, .32, 20


@dataclass(frozen=True)
class Setup:
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
        stamp_grid_iters: Of its distillation.
    """
    folder: Path
    pictures: int
    val_pictures: int
    clip_iters: int
    cnn_iters: int
    grid_iters: int
    proposal_iters: int
    shuffled_iters: int
    detector_iters: int
    stamp_iters: int
    stamp_grid_iters: int

    def identity(self) -> dict[str, Any]:
        """What the results of a seed depend on."""
        return {key: value for key, value in vars(self).items() if key != 'folder'}

    @property
    def world(self) -> Path:
        """Folder of the things world."""
        return self.folder / 'things'

    @property
    def stamps(self) -> Path:
        """Folder of the stamps world."""
        return self.folder / 'stamps'

    def weights(self, model: str, seed: int) -> Path:
        """Weights file of a model, written or not."""
        return self.folder / 'models' / f'{model}-{seed}.safetensors'

    def result(self, unit: str, seed: int) -> Path:
        """Result file of a unit, written or not."""
        return self.folder / 'units' / f'{unit}-{seed}.json'


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
               + setup.stamp_grid_iters * 2 * DISTIL_SECONDS + 2 * SCORE_SECONDS, train_stamps)


# -- towers ---------------------------------------------------------------------------------------


def train_vit(setup: Setup, seed: int) -> None:
    """Trains the image transformer on pictures of one thing each, and scores crops and map."""
    weights = setup.weights('vit', seed)
    if not weights.is_file():
        pretrain(VIT, setup.world, setup.clip_iters, weights, {'randomness.seed': seed})
    towers, truth = read_towers(load_config(REGIONS), weights), Things.read(setup.world)
    found = {'crops': crop_scores(towers, truth),
             **tower_scores(setup.world, 'things_semantic', towers, towers, SIDE)}
    found['attended'] = attended_top1(towers, truth, SIDE)
    write_json(setup.result('vit', seed), {'seed': seed, **found})


def distil(name: str, setup: Setup, seed: int) -> None:
    """One of `DISTILLATIONS`, from the seed's image transformer."""
    plan, weights, teacher = DISTILLATIONS[name], setup.weights(name, seed), \
        setup.weights('vit', seed)
    if not weights.is_file():
        distil_to(plan.config, setup.world, getattr(setup, plan.iters), teacher, weights, seed,
                  plan.mismatched)
    cfg = load_config(REGIONS)
    found = tower_scores(setup.world, 'things_semantic', read_towers(cfg, weights),
                         read_towers(cfg, teacher), SIDE)
    write_json(setup.result(name, seed), {'seed': seed, **found})


def distil_to(config: str, world: Path, iters: int, teacher: Path, weights: Path, seed: int,
              mismatched: bool = False, options: Mapping[str, Any] | None = None) -> None:
    """Distils a teacher, and writes the student with the teacher's words as one model."""
    student = weights.with_name(f'{weights.stem}-student.safetensors')

    def change(cfg: Config) -> None:
        cfg.load_from, cfg.model.mismatched = str(teacher), mismatched

    if not student.is_file():
        pretrain(config, world, iters, student, {'randomness.seed': seed, **(options or {})},
                 change)
    write_model(student, teacher, weights)


def write_model(backbone: Path | Mapping[str, torch.Tensor], words: Path, weights: Path) -> None:
    """Writes a model that names boxes: a tower and a text encoder, in half precision.

    Args:
        backbone: File of the tower, or its tensors.
        words: File of the text encoder.
        weights: File to write.
    """
    model = build_model(load_config(REGIONS))
    if isinstance(backbone, Path):
        load_backbone(model.backbone, backbone)
    else:
        model.backbone.load_state_dict(backbone)
    load_text_encoder(model.text_encoder, words)
    save_checkpoint(model, weights, force=True, dtype=torch.float16)


def tower_scores(world: Path, segments: str, towers: Towers, teacher: Towers, side: int
                 ) -> dict[str, Any]:
    """What a map says of boxes and pixels of validation pictures, and the class token of crops.

    Args:
        world: Folder of the world.
        segments: Data set of the labels of its pixels.
        towers: What is scored.
        teacher: Whose crops boxes are compared with.
        side: Side of the pictures.
    """
    truth = Things.read(world)
    regions, crops = region_features(towers, truth, side), crop_features(teacher, truth, CROP_SCALE)
    words, labels = towers.words(truth.names), truth.all_labels()
    own, common = (regions * crops).sum(1).mean(), (centred(regions) * centred(crops)).sum(1).mean()
    return {'regions': _shares(regions, words, truth), 'names': len(truth.names),
            'boxes': len(labels), 'retrieval': retrieval(regions, crops),
            'cosine': float(own), 'centred cosine': float(common),
            'pictures': top1(crop_features(towers, truth, CROP_SCALE), words, labels) / 100}


def _shares(features: torch.Tensor, words: torch.Tensor, truth: Things) -> dict[str, float]:
    """Top-1 over all names of small and of large things, and of all."""
    labels, small = truth.all_labels(), truth.sides() < things.SMALL
    return {name: top1(features[part], words, labels[part]) / 100
            for name, part in {'small': small, 'large': ~small, 'all': small | ~small}.items()
            if part.any()}
