"""What the self-training benchmark has to do for each seed: four units that are kept."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config

from glipkit.apis.build import find_config, read_config
from glipkit.apis.config_parts import place_of
from glipkit.claims.pretraining import SCORE_SECONDS, TRAIN_SECONDS, pretrain, score
from glipkit.claims.pseudo_labels import hits
from glipkit.errors import UserError
from glipkit.labelling import LabelSettings, Teacher, pseudo_label
from glipkit.runs.locks import locked
from glipkit.runs.results import write_json
from glipkit.runs.units import Unit
from glipkit.worlds import shapes, stamps
from glipkit.worlds.english import plural
from glipkit.worlds.pairs import hide_boxes
from glipkit.worlds.stamp_source import digest, find_stamps_dir, list_stamps
from glipkit.worlds.world_files import read_manifest

WORLDS = {'shapes': shapes, 'stamps': stamps}
#: World -> the model whose configs are taken.
BASES = {'shapes': 'glip-mini', 'stamps': 'glip-photo'}
#: Model -> what its config's name ends with.
MODELS = {'teacher': 'teacher', 'gold-only': 'continued', 'student': 'student'}
PSEUDO = 'pseudo'
#: For the first estimate: seconds of one thread of a Xeon to label a pair.
LABEL_SECONDS = .1


@dataclass(frozen=True)
class Setup:
    """What all seeds share.

    Args:
        folder: Folder of everything that is kept.
        world: A key of `WORLDS`.
        gold_pictures: Number of detection pictures to train on.
        pairs: Number of captioned pictures to label.
        val_pictures: Number of pictures to score on.
        teacher_iters: Iterations of the teacher.
        student_iters: Further iterations of student and gold-only.
        threshold: Score above which the teacher's boxes are labels.
        leftover: Score above which words that the teacher does not know take boxes that others
            leave over; 1 is off.
        device: Device of labelling.
    """
    folder: Path
    world: str
    gold_pictures: int
    pairs: int
    val_pictures: int
    teacher_iters: int
    student_iters: int
    threshold: float
    leftover: float = 1.
    device: str = 'cpu'

    def identity(self) -> dict[str, Any]:
        """What the results of a seed depend on."""
        return {key: value for key, value in vars(self).items() if key not in ('folder', 'device')}

    @property
    def data(self) -> Path:
        """Folder of the world."""
        return self.folder / 'world'

    def config(self, model: str) -> str:
        """Config of a model of `MODELS`."""
        return f'configs/glip/{BASES[self.world]}_{self.world}_{MODELS[model]}.py'

    @property
    def labels(self) -> LabelSettings:
        """Which boxes of the teacher are labels."""
        if self.leftover == 1:
            return LabelSettings(score=self.threshold)
        # What one word has is no longer left over: no box may have two words.
        return LabelSettings(score=self.threshold, leftover=self.leftover, cross_nms=.5)

    def weights(self, model: str, seed: int) -> Path:
        """Weights file of a model, written or not."""
        return self.folder / 'models' / f'{model}-{seed}.safetensors'

    def shards(self, seed: int) -> Path:
        """Folder of a teacher's pseudo-labels."""
        return self.folder / 'pseudo' / str(seed)

    def result(self, unit: str, seed: int) -> Path:
        """Result file of a unit, written or not."""
        return self.folder / 'units' / f'{unit}-{seed}.json'


def usual_iters(world: str) -> int:
    """Iterations of the teacher's config."""
    return read_config(find_config(f'configs/glip/{BASES[world]}_{world}_teacher.py')
                       ).train_cfg.max_iters


def make_world(setup: Setup, stamps_dir: Path | None = None) -> None:
    """Draws the world, once, however many processes ask for it.

    Args:
        setup: Setup of the run.
        stamps_dir: Folder of stamps, as ``build`` of the stamps world takes it.

    Raises:
        UserError: The world is there, made from other stamps.
    """
    with locked(setup.folder / 'world.lock'):
        made = read_manifest(setup.data, setup.world)
        if made is not None and made['complete']:
            _check_stamps(made, stamps_dir)
            return
        own = {} if setup.world == 'shapes' else dict(stamps_dir=stamps_dir, grouping='food')
        WORLDS[setup.world].build(
            setup.data, num_train_det=setup.gold_pictures, num_train_grd=setup.pairs,
            num_val=setup.val_pictures, **own)


def _check_stamps(manifest: Mapping[str, Any], stamps_dir: Path | None) -> None:
    if stamps_dir is None:
        return
    if digest(list_stamps(find_stamps_dir(stamps_dir))) != manifest['settings']['stamps']:
        raise UserError('the stamps that the run was begun with', 'others in --stamps',
                        'pass those, or another --out')


def plan_units(setup: Setup, seeds: Iterable[int]) -> list[Unit]:
    """All units of all seeds, each after those that it needs."""
    return [Unit(f'{unit}-{seed}', setup.result(unit, seed), seconds, partial(work, setup, seed))
            for seed in seeds for unit, seconds, work in _units(setup)]


def _units(setup: Setup) -> Iterator[tuple[str, float, Callable[[Setup, int], None]]]:
    """Name, expected seconds, and the work of a seed's units."""
    # A prompt does not hold all categories, so that a picture is gone through a few times.
    scoring = 4 * setup.val_pictures * SCORE_SECONDS
    batch = 8 * TRAIN_SECONDS
    yield 'teacher', setup.teacher_iters * batch + scoring, partial(train_and_score, 'teacher')
    yield PSEUDO, setup.pairs * LABEL_SECONDS, label
    for model in ('student', 'gold-only'):
        yield model, setup.student_iters * batch + scoring, partial(train_and_score, model)


def train_and_score(model: str, setup: Setup, seed: int) -> None:
    """Trains a model of `MODELS`, scores it on all validation pictures, and writes the scores.

    Raises:
        UserError: There is no pseudo-label for a student.
    """
    options: dict[str, Any] = {'randomness.seed': seed}
    change = None
    if model != 'teacher':
        options['load_from'] = str(setup.weights('teacher', seed))
    if model == 'student':
        _check_labels(setup, seed)
        change = partial(use_labels, shards=setup.shards(seed),
                         threshold=min(setup.threshold, setup.leftover))
    iters = setup.teacher_iters if model == 'teacher' else setup.student_iters
    weights = setup.weights(model, seed)
    if not weights.is_file():
        pretrain(setup.config(model), setup.data, iters, weights, options, change)
    metrics = score(setup.config(model), setup.data, weights)
    write_json(setup.result(model, seed),
               {'model': model, 'seed': seed, 'iterations': iters, 'metrics': metrics})


def use_labels(cfg: Config, shards: Path, threshold: float) -> None:
    """Lets a student's config train on the pseudo-labels of a folder.

    Args:
        cfg: Config with a data set of caption shards.
        shards: Folder of the pseudo-labels.
        threshold: Score above which boxes count.

    Raises:
        UserError: The config has no such data set.
    """
    datasets = cfg.train_dataloader.dataset.datasets
    place = place_of(datasets, 'CaptionShards', 'train_dataloader.dataset.datasets')
    datasets[place].update(ann_file=str(shards), score_thr=threshold)


def _check_labels(setup: Setup, seed: int) -> None:
    found = json.loads(setup.result(PSEUDO, seed).read_text(encoding='utf-8'))
    if not found['all']['boxes']:
        raise UserError('pseudo-labels to train on', f'none: teacher {seed} was sure of no box',
                        'train teachers longer, in another --out')


def label(setup: Setup, seed: int) -> None:
    """Labels the captions with a seed's teacher, and compares that with the hidden boxes."""
    truth = hide_boxes(setup.data)
    teacher = Teacher(setup.config('teacher'), str(setup.weights('teacher', seed)), setup.device)
    manifest = pseudo_label([setup.data / 'pairs.jsonl'], setup.shards(seed), teacher,
                            setup.labels, images=setup.data / 'images/train_grd')
    records = [json.loads(line) for shard in manifest['shards']
               for line in (setup.shards(seed) / shard['name']).read_text(
                   encoding='utf-8').splitlines()]
    groups = json.loads((setup.data / 'annotations/splits.json').read_text(encoding='utf-8'))
    write_json(setup.result(PSEUDO, seed), {
        'seed': seed, 'pairs': len(truth), 'labelled': len(records),
        **count_right(records, truth, held_out_words(groups))})


def held_out_words(groups: Mapping[str, Iterable[str]]) -> set[str]:
    """Words of the caption-only categories that no seen category has, and their plurals.

    Args:
        groups: Group -> names of categories.

    >>> sorted(held_out_words({'seen': ['red star'], 'caption_only': ['red heart']}))
    ['heart', 'hearts']
    """
    seen, named = ({word for name in groups[group] for word in name.split()}
                   for group in ('seen', 'caption_only'))
    return {form for word in named - seen for form in (word, plural(word))}


def count_right(records: Iterable[Mapping[str, Any]], truth: Mapping[str, dict],
                held_out: set[str]) -> dict[str, dict[str, int]]:
    """How many boxes of pseudo-labels overlap an object that their phrase names.

    Args:
        records: Lines of pseudo-labels.
        truth: File name -> true boxes, of `hide_boxes`.
        held_out: Words of `held_out_words`.

    Returns:
        ``all`` and ``held_out`` (phrases with such a word), each with ``boxes`` and ``right``.
    """
    counts = {group: dict(boxes=0, right=0) for group in ('all', 'held_out')}
    for record in records:
        for region in record['grounding']['regions']:
            found = hits({**record, 'grounding': {'regions': [region]}}, dict(truth))
            counted = held_out & set(region['phrase'].split())
            for group in ('all', 'held_out') if counted else ('all', ):
                counts[group]['boxes'] += len(found)
                counts[group]['right'] += sum(found)
    return counts
