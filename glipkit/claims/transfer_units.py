"""What the transfer benchmark has to do, in units that are kept: pre-trainings and tuning runs."""
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.apis.build import load, shipped_weights
from glipkit.apis.predictor import Predictor
from glipkit.claims import pretraining, transfer_tasks
from glipkit.claims.pretraining import SCORE_SECONDS, TRAIN_SECONDS
from glipkit.claims.transfer_tasks import FEW_SHOT, HELD_OUT, LEARNT, DownstreamTask
from glipkit.engine.transfer import build_strategy
from glipkit.files import write_text
from glipkit.runs.units import Job, read_results, run_jobs
from glipkit.text.query import Query
from glipkit.tuning.run import TASK, tune
from glipkit.tuning.settings import TuneSettings, read_recipe
from glipkit.worlds import shapes

#: What is compared -> config. All three have towers, schedule and iterations in common.
MODELS = {'deep': 'configs/glip/glip-mini_shapes_long.py',
          'late': 'configs/glip/glip-mini-late_shapes.py',
          'classes': 'configs/glip/glip-mini_shapes_classes.py'}
SHOTS = (1, 3, 5, 10)
CLAIMS = (1, 2, 3, 4, 5, 6, 7)
#: For the first estimate: passes of a run.
PASSES = 25
#: Pictures of the check that a task file gives the same detections again.
CHECKED_PICTURES = 16


@dataclass(frozen=True)
class Unit:
    """One call of `tune`, over all seeds.

    Args:
        model: Of `MODELS`.
        strategy: As `tune` takes it.
        task: Name of a downstream task.
        shots: Per class; None takes all pictures.
    """
    model: str
    strategy: str
    task: str
    shots: int | None = None

    @property
    def name(self) -> str:
        """For folders and tables."""
        return f'{self.model}-{self.strategy}-{self.task}-{self.shots or "all"}'

    @property
    def scores_held_out(self) -> bool:
        """Forgetting is asked of the deep model's tuning on all pictures alone."""
        return self.model == 'deep' and self.shots is None and self.task in LEARNT


def plan_units(claims: Sequence[int], word_tasks: Sequence[str]) -> list[Unit]:
    """The units that the numbered comparisons need, each once.

    Args:
        claims: Of `CLAIMS`.
        word_tasks: The tasks of comparison 5.
    """
    pairs = {1: [('deep', 'full'), ('deep', 'prompt')],
             2: [('deep', 'full'), ('deep', 'prompt'), ('late', 'full'), ('late', 'prompt')],
             3: [('deep', 'prompt'), ('deep', 'head')],
             6: [('deep', 'prompt'), ('deep', 'lora'), ('deep', 'full')],
             7: [('deep', 'prompt')]}
    units = [Unit(model, strategy, task) for claim in claims
             for model, strategy in pairs.get(claim, ()) for task in LEARNT]
    if 4 in claims:
        units += [Unit(model, 'full', task, shots) for shots in SHOTS
                  for model in ('deep', 'classes') for task in FEW_SHOT]
    if 5 in claims:
        units += [Unit('deep', 'manual', task) for task in word_tasks]
    return list(dict.fromkeys(units))


@dataclass(frozen=True)
class Setup:
    """What all units share.

    Args:
        folder: Of everything that is kept.
        tasks: Downstream tasks by name.
        seeds: Of every tuning run.
        pretrain_iters: Of the models that are pre-trained here.
        pretrain_pictures: Of each kind (detection, captioned) to pre-train on.
        shipped: Whether the deep model has the weights that come with glipkit.
        max_passes: Of a tuning run; None leaves it to the recipe.
        device: Of tuning.
    """
    folder: Path
    tasks: Mapping[str, DownstreamTask]
    seeds: tuple[int, ...]
    pretrain_iters: int
    pretrain_pictures: int
    shipped: bool
    max_passes: int | None
    device: str

    def facts(self) -> dict[str, Any]:
        """What results depend on; the device is where, not what."""
        known = asdict(self)
        for key in ('folder', 'device'):
            del known[key]
        return json.loads(json.dumps(known))

    def weights(self, model: str) -> Path:
        """Where a model's weights are, or will be."""
        if model == 'deep' and self.shipped:
            return shipped_weights('glip-mini')
        return self.folder / 'models' / f'{model}.safetensors'

    def result(self, unit: Unit) -> Path:
        """Where a unit's result is, or will be."""
        return self.folder / 'units' / f'{unit.name}.json'

    def pretrained(self, units: Sequence[Unit]) -> list[str]:
        """The models that have to be pre-trained for the units."""
        return [model for model in dict.fromkeys(unit.model for unit in units)
                if not (model == 'deep' and self.shipped)]


class Work:
    """Goes through the units, telling how far it is and how long it may still take."""

    def __init__(self, setup: Setup, units: Sequence[Unit]) -> None:
        self.setup, self.units = setup, units
        self._jobs = list(self._make_jobs())

    def _make_jobs(self) -> Iterator[Job]:
        for model in self.setup.pretrained(self.units):
            seconds = self.setup.pretrain_iters * 8 * TRAIN_SECONDS
            yield Job(f'pre-training {model}', self.setup.weights(model), seconds,
                      lambda model=model: pretrain(self.setup, model))
        for unit in self.units:
            yield Job(unit.name, self.setup.result(unit), expected_seconds(self.setup, unit),
                      lambda unit=unit: run_unit(self.setup, unit))

    def estimate(self) -> str:
        """What is to be done, in units, and the first guess of the time."""
        todo = [job for job in self._jobs if not job.done]
        pretrainings = sum(job.name.startswith('pre-training') for job in todo)
        tunings = len(todo) - pretrainings
        hours = sum(job.seconds for job in todo) / 3600
        return (f'{len(self._jobs)} units, {len(self._jobs) - len(todo)} of them done; to do: '
                f'{pretrainings} pre-trainings of {self.setup.pretrain_iters} iterations and '
                f'{tunings} tuning units of up to {len(self.setup.seeds)} seeds; about '
                f'{hours:.1f} h on one thread, if a run ends after {PASSES} passes')

    def run(self) -> dict[str, dict[str, Any]]:
        """Does what is not done; returns all results by the name of their unit."""
        run_jobs(self._jobs)
        return read_results({unit.name: self.setup.result(unit) for unit in self.units})


def expected_seconds(setup: Setup, unit: Unit) -> float:
    """A guess, from the number of pictures that are trained on and scored."""
    task = setup.tasks[unit.task]
    score = task.sizes['val'] + task.sizes['test']
    if unit.strategy == 'manual':
        return 2 * SCORE_SECONDS * score
    copies = read_recipe(unit.strategy).copies(unit.shots)
    train_pictures = task.sizes['train']
    if unit.shots:
        train_pictures = min(train_pictures, unit.shots * len(task.classes)) * copies
    passes = min(PASSES, setup.max_passes or PASSES)
    held_out = setup.tasks[HELD_OUT].sizes['test'] if unit.scores_held_out else 0
    one = passes * (train_pictures * TRAIN_SECONDS + task.sizes['val'] * SCORE_SECONDS)
    return len(setup.seeds) * (one + SCORE_SECONDS * (score + 4 * held_out))


def pretrain(setup: Setup, model: str) -> None:
    """Pre-trains a model; goes on from its newest checkpoint."""
    world, pictures = setup.folder / 'world', setup.pretrain_pictures
    shapes.build(world, num_train_det=pictures, num_train_grd=pictures)
    pretraining.pretrain(MODELS[model], world, setup.pretrain_iters, setup.weights(model))


def run_unit(setup: Setup, unit: Unit) -> None:
    """Tunes, and writes what came out; all that is large goes but the files of comparison 7."""
    task, data = setup.tasks[unit.task], setup.folder / 'tasks'
    transfer_tasks.write(task, data)
    held_out = None
    if unit.scores_held_out:
        transfer_tasks.write(setup.tasks[HELD_OUT], data)
        held_out = setup.tasks[HELD_OUT].part(data, 'test')
    prompts = None
    if unit.strategy == 'manual':
        prompts = data / task.name / 'prompts.yaml'
        # JSON is YAML.
        write_text(prompts, json.dumps(dict(task.classes)) + '\n')
    passes = {'schedule.max_epochs': setup.max_passes} if setup.max_passes else {}
    out = setup.folder / 'runs' / unit.name
    result = tune(TuneSettings(
        data=task.part(data, 'train'), val=task.part(data, 'val'), test=task.part(data, 'test'),
        held_out=held_out, out=out, strategy=unit.strategy, model=MODELS[unit.model],
        checkpoint=str(setup.weights(unit.model)), shots=unit.shots, seeds=setup.seeds,
        prompts=prompts, options=passes, device=setup.device))
    facts: dict[str, Any] = {
        'unit': asdict(unit), 'zero_shot': result.zero_shot,
        'seeds': [{key: seed[key] for key in ('seed', 'scores', 'train_images', 'minutes')}
                  | {'passes': len(seed['history'])} for seed in result.seeds],
        'task_bytes': result.task.stat().st_size,
        'trained_parameters': trained_parameters(setup, unit)}
    if unit.strategy == 'prompt' and unit.model == 'deep' and unit.shots is None:
        facts['repeats'] = repeats(setup, unit, result.task)
    write_text(setup.result(unit), json.dumps(facts, indent=1) + '\n')
    for path in out.rglob(TASK):
        if unit.strategy not in ('prompt', 'manual'):
            path.unlink()


def trained_parameters(setup: Setup, unit: Unit) -> int:
    """Numbers that the unit's strategy trains."""
    strategy = build_strategy(read_recipe(unit.strategy).strategy)
    model = load(MODELS[unit.model], setup.weights(unit.model))
    strategy.add(model, model.prompts(Query.for_classes(setup.tasks[unit.task].classes)))
    return sum(p.numel() for group in strategy.trained(model) for _, p in group.parameters())


def repeats(setup: Setup, unit: Unit, file: Path) -> dict[str, bool]:
    """Whether detections come out bit by bit the same.

    Returns:
        ``task``: of the task file in two models loaded apart; ``base``: of the base model before
        a task was loaded and used, and after.
    """
    task, weights = setup.tasks[unit.task], setup.weights(unit.model)
    test = task.part(setup.folder / 'tasks', 'test')
    images = sorted(str(path) for path in test.images.glob('*.jpg'))[:CHECKED_PICTURES]
    classes = list(setup.tasks[HELD_OUT].classes)[:4]

    def found(predictor: Predictor, **ask: Any) -> list[np.ndarray]:
        return [np.column_stack([one.boxes, one.scores, one.labels])
                for one in predictor(images, score_threshold=0., **ask)]

    first, second = (Predictor(MODELS[unit.model], weights) for _ in range(2))
    before = found(first, classes=classes, task='')
    with_task = found(first, task=file)
    return {'task': same(with_task, found(second, task=file)),
            'base': same(before, found(first, classes=classes, task=''))}


def same(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> bool:
    """Whether two lists of arrays are equal in every bit, and hold anything at all."""
    return (len(ours) == len(theirs) and any(len(array) for array in ours)
            and all(np.array_equal(a, b) for a, b in zip(ours, theirs)))
