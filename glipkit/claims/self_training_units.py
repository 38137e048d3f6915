"""What the self-training benchmark has to do for each seed: four units that are kept."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from glipkit.apis.build import find_config, read_config
from glipkit.claims.pretraining import SCORE_SECONDS, TRAIN_SECONDS, pretrain, score
from glipkit.claims.pseudo_labels import hide_boxes, hits
from glipkit.errors import UserError
from glipkit.files import write_text
from glipkit.labelling import LabelSettings, Teacher, pseudo_label
from glipkit.runs.units import Job, locked
from glipkit.worlds import shapes, stamps
from glipkit.worlds.english import plural
from glipkit.worlds.stamp_source import digest, find_stamps_dir, list_stamps
from glipkit.worlds.world_files import read_manifest

WORLDS = {'shapes': shapes, 'stamps': stamps}
#: Model -> its part of a config's name.
MODELS = {'teacher': 'teacher', 'gold-only': 'continued', 'student': 'student'}
PSEUDO = 'pseudo'
#: For the first estimate: seconds of one thread of a Xeon to label a pair.
LABEL_SECONDS = .1
#: Where the student's config has the pseudo-labels.
PSEUDO_OPTION = 'train_dataloader.dataset.datasets.1'


@dataclass(frozen=True)
class Setup:
    """What all seeds share.

    Args:
        folder: Of everything that is kept.
        world: Of `WORLDS`.
        gold_pictures: Detection pictures to train on.
        pairs: Captioned pictures to label.
        val_pictures: To score on.
        teacher_iters: Training of the teacher.
        student_iters: Further training of student and gold-only.
        threshold: Score above which the teacher's boxes are labels.
        device: Of labelling.
    """
    folder: Path
    world: str
    gold_pictures: int
    pairs: int
    val_pictures: int
    teacher_iters: int
    student_iters: int
    threshold: float
    device: str = 'cpu'

    def facts(self) -> dict[str, Any]:
        """What the results of a seed depend on."""
        return {key: value for key, value in vars(self).items() if key not in ('folder', 'device')}

    @property
    def data(self) -> Path:
        """Folder of the world."""
        return self.folder / 'world'

    def config(self, model: str) -> str:
        """Of a model of `MODELS`."""
        return f'configs/glip/glip-mini_{self.world}_{MODELS[model]}.py'

    def weights(self, model: str, seed: int) -> Path:
        """Where a model's weights are, or will be."""
        return self.folder / 'models' / f'{model}-{seed}.safetensors'

    def shards(self, seed: int) -> Path:
        """Folder of a teacher's pseudo-labels."""
        return self.folder / 'pseudo' / str(seed)

    def result(self, unit: str, seed: int) -> Path:
        """Where a unit's result is, or will be."""
        return self.folder / 'units' / f'{unit}-{seed}.json'


def usual_iters(world: str) -> int:
    """Iterations of the teacher's config."""
    return read_config(find_config(f'configs/glip/glip-mini_{world}_teacher.py')
                       ).train_cfg.max_iters


def make_world(setup: Setup, stamps_dir: Path | None = None) -> None:
    """Draws the world, once, however many processes ask for it.

    Args:
        setup: What to make.
        stamps_dir: Of the stamps world, as its ``build`` takes it.

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


def plan_jobs(setup: Setup, seeds: Iterable[int]) -> list[Job]:
    """All units of all seeds, each after those that it needs."""
    return [Job(f'{unit}-{seed}', setup.result(unit, seed), seconds, partial(work, setup, seed))
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
    if model != 'teacher':
        options['load_from'] = str(setup.weights('teacher', seed))
    if model == 'student':
        _check_labels(setup, seed)
        options[f'{PSEUDO_OPTION}.ann_file'] = str(setup.shards(seed))
        options[f'{PSEUDO_OPTION}.score_thr'] = setup.threshold
    iters = setup.teacher_iters if model == 'teacher' else setup.student_iters
    weights = setup.weights(model, seed)
    if not weights.is_file():
        pretrain(setup.config(model), setup.data, iters, weights, options)
    metrics = score(setup.config(model), setup.data, weights)
    facts = {'model': model, 'seed': seed, 'iterations': iters, 'metrics': metrics}
    write_text(setup.result(model, seed), json.dumps(facts, indent=1) + '\n')


def _check_labels(setup: Setup, seed: int) -> None:
    found = json.loads(setup.result(PSEUDO, seed).read_text(encoding='utf-8'))
    if not found['all']['boxes']:
        raise UserError('pseudo-labels to train on', f'none: teacher {seed} was sure of no box',
                        'train teachers longer, in another --out')


def label(setup: Setup, seed: int) -> None:
    """Labels the captions with a seed's teacher, and compares that with the hidden boxes."""
    truth = hide_boxes(setup.data)
    teacher = Teacher(setup.config('teacher'), str(setup.weights('teacher', seed)), setup.device)
    with tqdm(unit='pair', desc='labelling', disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        manifest = pseudo_label([setup.data / 'pairs.jsonl'], setup.shards(seed), teacher,
                                LabelSettings(score=setup.threshold),
                                images=setup.data / 'images/train_grd', progress=progress)
    records = [json.loads(line) for shard in manifest['shards']
               for line in (setup.shards(seed) / shard['name']).read_text(
                   encoding='utf-8').splitlines()]
    groups = json.loads((setup.data / 'annotations/splits.json').read_text(encoding='utf-8'))
    facts = {'seed': seed, 'pairs': len(truth), 'labelled': len(records),
             **count_right(records, truth, held_out_words(groups))}
    write_text(setup.result(PSEUDO, seed), json.dumps(facts, indent=1) + '\n')


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
                words: set[str]) -> dict[str, dict[str, int]]:
    """How many boxes of pseudo-labels overlap an object that their phrase names.

    Args:
        records: Lines of pseudo-labels.
        truth: From `hide_boxes`.
        words: The held-out ones.

    Returns:
        ``all`` and ``held_out`` (phrases with such a word), each with ``boxes`` and ``right``.
    """
    counts = {part: dict(boxes=0, right=0) for part in ('all', 'held_out')}
    for record in records:
        for region in record['grounding']['regions']:
            found = hits({**record, 'grounding': {'regions': [region]}}, dict(truth))
            parts = ('all', 'held_out') if words & set(region['phrase'].split()) else ('all', )
            for part in parts:
                counts[part]['boxes'] += len(found)
                counts[part]['right'] += sum(found)
    return counts
