"""What the transfer benchmark has to do, in units that are kept: pre-trainings and tuning runs."""
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.apis.build import load
from glipkit.apis.index import shipped_weights
from glipkit.apis.predictor import Predictor
from glipkit.claims import pretraining, transfer_tasks
from glipkit.claims.pretraining import SCORE_SECONDS, TRAIN_SECONDS
from glipkit.claims.transfer_tasks import FEW_SHOT, HELD_OUT, LEARNT, DownstreamTask
from glipkit.engine.transfer import build_strategy
from glipkit.files import write_text
from glipkit.runs.results import read_results, write_json
from glipkit.runs.units import Unit, run_units
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
class TuningRun:
    """One call of `tune`, over all seeds.

    Args:
        model: A key of `MODELS`.
        strategy: Strategy, as `tune` takes it.
        task: Name of a downstream task.
        shots: Number of examples per class; None takes all pictures.
    """
    model: str
    strategy: str
    task: str
    shots: int | None = None

    @property
    def name(self) -> str:
        """Name for folders and tables."""
        return f'{self.model}-{self.strategy}-{self.task}-{self.shots or "all"}'

    @property
    def scores_held_out(self) -> bool:
        """Forgetting is asked of the deep model's tuning on all pictures alone."""
        return self.model == 'deep' and self.shots is None and self.task in LEARNT


def plan_runs(claims: Sequence[int], word_tasks: Sequence[str]) -> list[TuningRun]:
    """The tuning runs that the numbered comparisons need, each once.

    Args:
        claims: Numbers of `CLAIMS`.
        word_tasks: The tasks of comparison 5.
    """
    pairs = {1: [('deep', 'full'), ('deep', 'prompt')],
             2: [('deep', 'full'), ('deep', 'prompt'), ('late', 'full'), ('late', 'prompt')],
             3: [('deep', 'prompt'), ('deep', 'head')],
             6: [('deep', 'prompt'), ('deep', 'lora'), ('deep', 'full')],
             7: [('deep', 'prompt')]}
    runs = [TuningRun(model, strategy, task) for claim in claims
             for model, strategy in pairs.get(claim, ()) for task in LEARNT]
    if 4 in claims:
        runs += [TuningRun(model, 'full', task, shots) for shots in SHOTS
                  for model in ('deep', 'classes') for task in FEW_SHOT]
    if 5 in claims:
        runs += [TuningRun('deep', 'manual', task) for task in word_tasks]
    return list(dict.fromkeys(runs))


@dataclass(frozen=True)
class Setup:
    """What all units share.

    Args:
        folder: Folder of everything that is kept.
        tasks: Downstream tasks by name.
        seeds: Seeds of every tuning run.
        pretrain_iters: Iterations of the models that are pre-trained here.
        pretrain_pictures: Pictures of each kind (detection, captioned) to pre-train on.
        shipped: Whether the deep model has the weights that come with glipkit.
        max_passes: Most passes of a tuning run; None leaves it to the recipe.
        device: Device of tuning.
    """
    folder: Path
    tasks: Mapping[str, DownstreamTask]
    seeds: tuple[int, ...]
    pretrain_iters: int
    pretrain_pictures: int
    shipped: bool
    max_passes: int | None
    device: str

    def identity(self) -> dict[str, Any]:
        """What results depend on; the device is where, not what."""
        known = asdict(self)
        for key in ('folder', 'device'):
            del known[key]
        return json.loads(json.dumps(known))

    def weights(self, model: str) -> Path:
        """Weights file of a model, written or not."""
        if model == 'deep' and self.shipped:
            return shipped_weights('glip-mini')
        return self.folder / 'models' / f'{model}.safetensors'

    def result(self, run: TuningRun) -> Path:
        """Result file of a tuning run, written or not."""
        return self.folder / 'units' / f'{run.name}.json'

    def pretrained(self, runs: Sequence[TuningRun]) -> list[str]:
        """The models that have to be pre-trained for the tuning runs."""
        return [model for model in dict.fromkeys(one.model for one in runs)
                if not (model == 'deep' and self.shipped)]


class Work:
    """Does the tuning runs, and the pre-trainings that they need."""

    def __init__(self, setup: Setup, runs: Sequence[TuningRun]) -> None:
        self.setup, self.runs = setup, runs
        self._units = list(self._make_units())

    def _make_units(self) -> Iterator[Unit]:
        for model in self.setup.pretrained(self.runs):
            seconds = self.setup.pretrain_iters * 8 * TRAIN_SECONDS
            yield Unit(f'pre-training {model}', self.setup.weights(model), seconds,
                       lambda model=model: pretrain(self.setup, model))
        for one in self.runs:
            yield Unit(one.name, self.setup.result(one), expected_seconds(self.setup, one),
                       lambda one=one: run_unit(self.setup, one))

    def estimate(self) -> str:
        """What is to be done, in units, and the first guess of the time."""
        todo = [unit for unit in self._units if not unit.done]
        pretrainings = sum(unit.name.startswith('pre-training') for unit in todo)
        tunings = len(todo) - pretrainings
        hours = sum(unit.seconds for unit in todo) / 3600
        return (f'{len(self._units)} units, {len(self._units) - len(todo)} of them done; to do: '
                f'{pretrainings} pre-trainings of {self.setup.pretrain_iters} iterations and '
                f'{tunings} tuning units of up to {len(self.setup.seeds)} seeds; about '
                f'{hours:.1f} h on one thread, if a run ends after {PASSES} passes')

    def run(self) -> dict[str, dict[str, Any]]:
        """Does what is not done; returns all results by the name of their unit."""
        run_units(self._units)
        return read_results({one.name: self.setup.result(one) for one in self.runs})


def expected_seconds(setup: Setup, run: TuningRun) -> float:
    """A guess, from the number of pictures that are trained on and scored."""
    task = setup.tasks[run.task]
    score = task.sizes['val'] + task.sizes['test']
    if run.strategy == 'manual':
        return 2 * SCORE_SECONDS * score
    copies = read_recipe(run.strategy).copies(run.shots)
    train_pictures = task.sizes['train']
    if run.shots:
        train_pictures = min(train_pictures, run.shots * len(task.classes)) * copies
    passes = min(PASSES, setup.max_passes or PASSES)
    held_out = setup.tasks[HELD_OUT].sizes['test'] if run.scores_held_out else 0
    one = passes * (train_pictures * TRAIN_SECONDS + task.sizes['val'] * SCORE_SECONDS)
    return len(setup.seeds) * (one + SCORE_SECONDS * (score + 4 * held_out))


def pretrain(setup: Setup, model: str) -> None:
    """Pre-trains a model; resumes at its newest checkpoint."""
    world, pictures = setup.folder / 'world', setup.pretrain_pictures
    shapes.build(world, num_train_det=pictures, num_train_grd=pictures)
    pretraining.pretrain(MODELS[model], world, setup.pretrain_iters, setup.weights(model))


def run_unit(setup: Setup, run: TuningRun) -> None:
    """Tunes, and writes what came out; all that is large goes but the files of comparison 7."""
    task, data = setup.tasks[run.task], setup.folder / 'tasks'
    transfer_tasks.write(task, data)
    held_out = None
    if run.scores_held_out:
        transfer_tasks.write(setup.tasks[HELD_OUT], data)
        held_out = setup.tasks[HELD_OUT].annotated(data, 'test')
    prompts = None
    if run.strategy == 'manual':
        prompts = data / task.name / 'prompts.yaml'
        # JSON is YAML.
        write_text(prompts, json.dumps(dict(task.classes)) + '\n')
    passes = {'schedule.max_epochs': setup.max_passes} if setup.max_passes else {}
    out = setup.folder / 'runs' / run.name
    result = tune(TuneSettings(
        data=task.annotated(data, 'train'), val=task.annotated(data, 'val'),
        test=task.annotated(data, 'test'), held_out=held_out, out=out, strategy=run.strategy,
        model=MODELS[run.model], checkpoint=str(setup.weights(run.model)), shots=run.shots,
        seeds=setup.seeds, prompts=prompts, options=passes, device=setup.device))
    content: dict[str, Any] = {
        'unit': asdict(run), 'zero_shot': result.zero_shot,
        'seeds': [{key: seed[key] for key in ('seed', 'scores', 'train_images', 'minutes')}
                  | {'passes': len(seed['history'])} for seed in result.seeds],
        'task_bytes': result.task.stat().st_size,
        'trained_parameters': trained_parameters(setup, run)}
    if run.strategy == 'prompt' and run.model == 'deep' and run.shots is None:
        content['repeats'] = repeats(setup, run, result.task)
    write_json(setup.result(run), content)
    for path in out.rglob(TASK):
        if run.strategy not in ('prompt', 'manual'):
            path.unlink()


def trained_parameters(setup: Setup, run: TuningRun) -> int:
    """How many numbers the strategy of a tuning run trains."""
    strategy = build_strategy(read_recipe(run.strategy).strategy)
    model = load(MODELS[run.model], setup.weights(run.model))
    strategy.add(model, model.prompts(Query.for_classes(setup.tasks[run.task].classes)))
    return sum(p.numel() for group in strategy.trained(model) for _, p in group.parameters())


def repeats(setup: Setup, run: TuningRun, file: Path) -> dict[str, bool]:
    """Whether detections come out bit by bit the same.

    Returns:
        ``task``: those of the task file, in two models loaded apart; ``base``: those of the base
        model before a task was loaded and used, and after.
    """
    task, weights = setup.tasks[run.task], setup.weights(run.model)
    # A good model finds nothing where there is nothing: each is asked about its own pictures.
    images, others = (
        sorted(str(path) for path in
               one.annotated(setup.folder / 'tasks', 'test').images.glob('*.jpg'))[
                   :CHECKED_PICTURES] for one in (task, setup.tasks[HELD_OUT]))
    base = dict(images=others, classes=list(setup.tasks[HELD_OUT].classes), task='')

    def found(predictor: Predictor, **ask: Any) -> list[np.ndarray]:
        return [np.column_stack([one.boxes, one.scores, one.labels])
                for one in predictor(score_threshold=0., **ask)]

    first, second = (Predictor(MODELS[run.model], weights, per_object='all') for _ in range(2))
    before = found(first, **base)
    with_task = found(first, images=images, task=file)
    return {'task': same(with_task, found(second, images=images, task=file)),
            'base': same(before, found(first, **base))}


def same(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> bool:
    """Whether two lists of arrays are equal in every bit, and hold anything at all."""
    return (len(ours) == len(theirs) and any(len(array) for array in ours)
            and all(np.array_equal(a, b) for a, b in zip(ours, theirs)))
