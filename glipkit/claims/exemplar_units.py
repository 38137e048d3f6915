"""What the exemplar benchmark has to do for a world and a seed, in units that are kept."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from glipkit.apis.data_sets import AnnotatedImages
from glipkit.apis.examples import Example
from glipkit.apis.predictor import Predictor
from glipkit.apis.tasks import read_task
from glipkit.calibration.run import CalibrateSettings, calibrate
from glipkit.claims import exemplar_tasks
from glipkit.claims.exemplar_scores import (
    as_records,
    average_precision,
    fooled_at_equal_recall,
    labels_of_objects,
    mark,
    pictures,
)
from glipkit.claims.exemplar_tasks import Drawer, ExemplarTask
from glipkit.claims.pretraining import SCORE_SECONDS, TRAIN_SECONDS
from glipkit.data.few_shot import few_shot_file
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.files import make_folder
from glipkit.runs.locks import locked
from glipkit.runs.results import write_json
from glipkit.runs.units import Unit
from glipkit.text.query import Query
from glipkit.tuning.run import tune
from glipkit.tuning.settings import TuneSettings
from glipkit.worlds import shapes, stamps
from glipkit.worlds.stamp_source import find_stamps_dir, list_stamps, unpack_package

#: World -> the model that is asked.
MODELS = {'shapes': 'glip-mini', 'stamps': 'glip-photo'}
#: Reference pictures of each thing; prompt tuning has the most of them.
SHOTS = (1, 3, 5)
FEWEST, MOST = min(SHOTS), max(SHOTS)
CLAIMS = (1, 2, 3, 4, 5)
#: For the first estimate: passes of a tuning run.
PASSES = 25


@dataclass(frozen=True)
class Setup:
    """What all seeds of a world share.

    Args:
        folder: Folder of everything that is kept.
        world: A key of `MODELS`.
        pictures: Pictures of each split.
        seconds: Time to learn an exemplar in.
        max_passes: Most passes of prompt tuning; None leaves it to the recipe.
        stamps: Where the photographs are; None downloads them.
    """
    folder: Path
    world: str
    pictures: dict[str, int]
    seconds: float = 60.
    max_passes: int | None = None
    stamps: Path | None = None

    def identity(self) -> dict[str, Any]:
        """What the results of a seed depend on."""
        return {key: value for key, value in vars(self).items() if key not in ('folder', 'stamps')}

    def task_folder(self, seed: int) -> Path:
        """Folder of a seed's pictures."""
        return self.folder / 'tasks' / str(seed)

    def learnt(self, shots: int, seed: int, kind: str = 'refined') -> Path:
        """Task file of examples, written or not."""
        return self.folder / 'learnt' / f'{kind}-{shots}-{seed}.safetensors'

    def result(self, unit: str, seed: int) -> Path:
        """Result file of a unit, written or not."""
        return self.folder / 'units' / f'{unit}-{seed}.json'


def make_task(setup: Setup, seed: int) -> ExemplarTask:
    """The task of a seed, drawn once, however many processes ask for it.

    Raises:
        UserError: No stamps.
    """
    with locked(setup.folder / f'task-{seed}.lock'):
        if setup.world == 'shapes':
            task, draw = exemplar_tasks.shapes_task(setup.pictures, seed), shapes.draw_scene
        else:
            task, draw = _stamps(setup, seed)
        exemplar_tasks.write(task, setup.task_folder(seed), draw)
    return task


def _stamps(setup: Setup, seed: int) -> tuple[ExemplarTask, Drawer]:
    place = (unpack_package(setup.folder / 'source')[0] if setup.stamps is None
             else find_stamps_dir(setup.stamps))
    usable = list_stamps(place)
    task = exemplar_tasks.stamps_task(usable, setup.pictures, stamps.DEFAULT_IMAGE_SIZE, seed)
    return task, exemplar_tasks.stamps_drawer(usable)


def plan_units(setup: Setup, claims: Iterable[int], seeds: Iterable[int]) -> list[Unit]:
    """The units that the numbered measurements need, each once and after those that it needs.

    Args:
        setup: Setup of a world.
        claims: Numbers of `CLAIMS`.
        seeds: Seeds.
    """
    learnt = [f'learn-{shots}' for shots in SHOTS]
    needed = {1: ['tune', *learnt], 2: [learnt[-1], 'mixed'], 3: [learnt[0], 'negatives'],
              4: [learnt[-1], 'calibration'], 5: ['pairs']}
    wanted = {unit for claim in claims for unit in needed[claim]}
    works: dict[str, Callable[[Setup, int], None]] = {
        'tune': tune_prompts, **{f'learn-{n}': partial(learn_examples, n) for n in SHOTS},
        'mixed': mix, 'negatives': learn_negatives, 'calibration': calibrate_scores,
        'pairs': name_pairs}
    return [Unit(f'{setup.world} {unit}-{seed}', setup.result(unit, seed),
                 expected_seconds(setup, unit), partial(work, setup, seed))
            for seed in seeds for unit, work in works.items() if unit in wanted]


def expected_seconds(setup: Setup, unit: str) -> float:
    """A guess, from the number of pictures that are trained on and scored."""
    shown = setup.pictures
    # A model of photographs has larger towers.
    share = 5 if setup.world == 'stamps' else 1
    if unit == 'tune':
        passes = min(PASSES, setup.max_passes or PASSES)
        one = 30 * TRAIN_SECONDS + shown['val'] * SCORE_SECONDS
        return share * (passes * one + 2 * shown['test'] * SCORE_SECONDS)
    pictures = {'mixed': 2 * shown['test'] + 2 * shown['pairs'],
                'calibration': shown['many'] + shown['test'],
                'negatives': 2 * shown['look-alikes'], 'pairs': 2 * shown['pairs']}
    own = pictures.get(unit, 2 * shown['test']) * SCORE_SECONDS * share
    return own + (setup.seconds if unit == 'negatives' or unit.startswith('learn') else 0)


def tune_prompts(setup: Setup, seed: int) -> None:
    """Prompt tuning from the most shots with its full schedule, and its scores."""
    task, folder = make_task(setup, seed), setup.task_folder(seed)
    options = {'schedule.max_epochs': setup.max_passes} if setup.max_passes else {}
    result = tune(TuneSettings(
        data=task.annotated(folder, 'train'), val=task.annotated(folder, 'val'),
        test=task.annotated(folder, 'test', 'unnamed'), out=setup.folder / 'runs' / f'tune-{seed}',
        model=MODELS[setup.world], shots=max(SHOTS), seeds=(seed, ), options=options))
    best = result.best
    write_json(setup.result('tune', seed), {
        'AP': best['scores']['test']['AP'], 'AP50': best['scores']['test']['AP50'],
        'zero_shot': result.zero_shot['test']['AP'], 'passes': len(best['history']),
        'minutes': best['minutes'], 'train_images': best['train_images']})


def learn(setup: Setup, seed: int, predictor: Predictor, shots: int, kind: str) -> dict[str, Any]:
    """Learns the unnamed things together, and writes their task file.

    The pictures are those that prompt tuning has from as many shots.

    Args:
        setup: Setup of a world.
        seed: Seed of the draw and of learning.
        predictor: Predictor that learns.
        shots: Pictures of each thing.
        kind: 'start' for no step; 'refined'; 'negatives' for as many pictures of look-alikes too.

    Returns:
        ``seconds`` that it took, with the reading of pictures, and ``steps``.
    """
    task, folder = make_task(setup, seed), setup.task_folder(seed)
    shown = _shots(task.annotated(folder, 'train'), shots, seed)
    avoided = {}
    if kind == 'negatives':
        avoided = _shots(task.annotated(folder, 'negatives'), shots, seed)
    examples = []
    for name, look_alike in zip(task.asked('unnamed'), task.asked('look_alikes')):
        own, others = shown[name], avoided.get(look_alike, {})
        images = list({**own, **others})
        examples.append(Example(images, [own.get(image, []) for image in images], name,
                                [others.get(image, []) for image in images] if others else None))
    file = setup.learnt(shots, seed, kind)
    make_folder(file.parent)
    begin = time.perf_counter()
    predictor.learn(examples, seconds=setup.seconds, steps=0 if kind == 'start' else None,
                    seed=seed, name=file.stem, out=file)
    seconds = time.perf_counter() - begin
    return {'seconds': seconds, 'steps': read_task(file).details['steps']}


def _shots(data: AnnotatedImages, shots: int, seed: int) -> dict[str, dict[Path, list]]:
    """Name -> picture -> its boxes, xyxy, of as many pictures of each name."""
    coco = read_coco_json(few_shot_file(data.ann_file, shots, seed, data.images / 'shots'))
    found: dict[str, dict[Path, list]] = {name: {} for name in coco.classes.values()}
    for record in coco.annotations:
        image = data.images / coco.images[record['image_id']]['file_name']
        left, top, width, height = record['bbox']
        found[coco.classes[record['category_id']]].setdefault(image, []).append(
            [left, top, left + width, top + height])
    return found


def learn_examples(shots: int, setup: Setup, seed: int) -> None:
    """Learns the unnamed things from some pictures each, and scores start and end."""
    task, folder = make_task(setup, seed), setup.task_folder(seed)
    data = task.annotated(folder, 'test', 'unnamed')
    predictor = Predictor(MODELS[setup.world], per_object='all')
    content: dict[str, Any] = {}
    for key, kind in (('start_', 'start'), ('', 'refined')):
        took = learn(setup, seed, predictor, shots, kind)
        found = ask(predictor, data, task.asked('unnamed'), setup.learnt(shots, seed, kind))
        scores = average_precision(data.ann_file, found).overall
        content |= {f'{key}{name}': scores[name] for name in ('AP', 'AP50')}
        content |= {f'{key}{name}': value for name, value in took.items()}
    write_json(setup.result(f'learn-{shots}', seed), content)


def ask(predictor: Predictor, data: AnnotatedImages, classes: Sequence[str] | Query,
        task: Path | str = '') -> list[dict]:
    """All detections of a split as COCO records; classes that its file lacks are left out.

    Args:
        predictor: Predictor that gives everything that its model says.
        data: Pictures.
        classes: What to ask.
        task: Task file; none for the base model.
    """
    coco = read_coco_json(data.ann_file)
    found = predictor(pictures(coco, data.images), classes=classes, task=str(task),
                      score_threshold=0.)
    return as_records(found, coco)


def mix(setup: Setup, seed: int) -> None:
    """Words alone and beside learnt names, and other words before and after."""
    task, folder = make_task(setup, seed), setup.task_folder(seed)
    test, others = (task.annotated(folder, split) for split in ('test', 'pairs'))
    words, unnamed = task.asked('words'), task.asked('unnamed')
    predictor = Predictor(MODELS[setup.world], per_object='all')

    def elsewhere(file: Path | str = '') -> float:
        found = ask(predictor, others, task.asked('pairs'), file)
        return average_precision(others.ann_file, found).overall['AP']

    before = elsewhere()
    alone = average_precision(test.ann_file, ask(predictor, test, words), words).overall['AP']
    file = setup.learnt(MOST, seed)
    predictor.load_task(file)
    mixed = ask(predictor, test, [*words, *unnamed], file)
    write_json(setup.result('mixed', seed), {
        'words': {'alone': alone,
                  'mixed': average_precision(test.ann_file, mixed, words).overall['AP']},
        'exemplars': average_precision(test.ann_file, mixed, unnamed).overall['AP'],
        'elsewhere': {'before': before, 'after': elsewhere(), 'with_task': elsewhere(file)}})


def learn_negatives(setup: Setup, seed: int) -> None:
    """Learns the fewest examples with negatives too, and counts whom look-alikes are taken for.

    From more examples most things are told from their look-alikes without any negative.
    """
    task, folder = make_task(setup, seed), setup.task_folder(seed)
    data = task.annotated(folder, 'look-alikes')
    coco = read_coco_json(data.ann_file)
    names = task.asked('unnamed')
    predictor = Predictor(MODELS[setup.world], per_object='all')
    took = learn(setup, seed, predictor, FEWEST, 'negatives')
    plain, ours = (ask(predictor, data, names, setup.learnt(FEWEST, seed, kind))
                   for kind in ('refined', 'negatives'))
    look_alikes = [coco.id_of_name[name] for name in task.asked('look_alikes')]
    marks = [[mark(coco.annotations, found, coco.id_of_name[name], look_alikes) for name in names]
             for found in (plain, ours)]
    counts = [fooled_at_equal_recall(*both) for both in zip(*marks)]
    found = [sum(float(one.right.sum()) / max(one.objects, 1) for one in kind)
             / len(names) for kind in marks]
    write_json(setup.result('negatives', seed), {
        'without': sum(count[0] for count in counts), 'with': sum(count[1] for count in counts),
        'recall': sum(count[2] for count in counts) / len(counts),
        'found_without': found[0], 'found_with': found[1],
        'AP_without': average_precision(data.ann_file, plain, names).overall['AP'],
        'AP_with': average_precision(data.ann_file, ours, names).overall['AP'],
        'each': dict(zip(names, counts)), **took})


def calibrate_scores(setup: Setup, seed: int) -> None:
    """Calibrates many names, and the examples, each measured on pictures that are held out."""
    task, folder = make_task(setup, seed), setup.task_folder(seed)
    asked = {'names': (task.annotated(folder, 'many'), None),
             'exemplars': (task.annotated(folder, 'test', 'unnamed'), setup.learnt(MOST, seed))}
    content = {}
    for kind, (data, file) in asked.items():
        found = calibrate(CalibrateSettings(
            data, setup.learnt(MOST, seed, f'calibrated-{kind}'), file,
            model=MODELS[setup.world])).calibration.numbers
        content[kind] = {
            'error': {'before': found['ece_before'], 'after': found['ece_after']},
            'f1': {'single': found['single']['f1'], 'per_class': found['by_class']['f1']},
            'objects': found['boxes'], 'detections': found['detections']}
    write_json(setup.result('calibration', seed), content)


def name_pairs(setup: Setup, seed: int) -> None:
    """Labels of objects that can be one of two things, with the rule and without."""
    task, folder = make_task(setup, seed), setup.task_folder(seed)
    data = task.annotated(folder, 'pairs')
    coco = read_coco_json(data.ann_file)
    predictor = Predictor(MODELS[setup.world], per_object='all')
    ids = [[coco.id_of_name[name] for name in pair] for pair in task.pairs]
    content: dict[str, Any] = {'threshold': predictor.score_threshold}
    for question, groups in (('free', ()), ('exclusive', task.pairs)):
        found = predictor(pictures(coco, data.images),
                          classes=Query.for_classes(task.asked('pairs'), exclusive=groups))
        content[question] = asdict(labels_of_objects(coco.annotations, as_records(found, coco),
                                                     ids))
    write_json(setup.result('pairs', seed), content)
