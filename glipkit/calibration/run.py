"""From annotated images to a task file whose scores mean something, and a report."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.apis.arguments import default_threshold
from glipkit.apis.asking import Classes, as_query, check_query
from glipkit.apis.build import checkpoint_for, find_config, model_name
from glipkit.apis.calibration import Calibration
from glipkit.apis.data_sets import AnnotatedImages
from glipkit.apis.index import default_model
from glipkit.apis.predictor import Predictor
from glipkit.apis.tasks import (
    Task,
    check_task_place,
    fingerprint,
    make_task,
    read_task,
    save_task,
    state_digest,
    task_file,
)
from glipkit.calibration.detections import detections_of
from glipkit.calibration.fitting import METHODS, Fitting, fit, measure
from glipkit.calibration.measuring import Judged
from glipkit.common.digests import file_sha256
from glipkit.common.reporter import note
from glipkit.data.formats.coco_json import CocoJson, read_coco_json
from glipkit.errors import UserError
from glipkit.evaluation.functional.thresholds import Rule
from glipkit.runs.folder import claimed
from glipkit.text.query import Query

#: Name under which the predictor knows a task that is no file yet.
OWN = 'calibrated'
#: With fewer images nothing can be said of images that were not among them.
LEAST_IMAGES = 2


@dataclass(frozen=True)
class CalibrateSettings:
    """What to calibrate, on what.

    Args:
        data: Annotated images that the model was not trained on.
        out: The task file to write; None writes into ``task``.
        task: Task file to calibrate; None takes the model as it is.
        classes: What to ask, as calls of a predictor take it; None takes the classes of the task,
            and without a task those of the data. A task that is open may be asked for others too.
        model: Model name or config.
        checkpoint: Its weights; None takes those of its name.
        by: Text of a `Rule`.
        method: One of `METHODS`.
        per_object: ``'one'`` or ``'all'``, as users of the task will ask.
        device: Device to run on.
        batch_size: Images that go through the model together.
        dtype: What the model computes in, see `Predictor`.
    """
    data: AnnotatedImages
    out: Path | None = None
    task: Path | None = None
    classes: Classes | None = None
    model: str = field(default_factory=default_model)
    checkpoint: str | None = None
    by: str = 'f1'
    method: str = 'isotonic'
    per_object: str = 'one'
    device: str = 'cpu'
    batch_size: int = 1
    dtype: str = 'float32'

    def check(self) -> None:
        """Refuses settings that cannot be used, before a model is loaded.

        Raises:
            UserError: See the message.
        """
        Rule.read(self.by)
        if self.method not in METHODS:
            raise UserError(f'a method ({", ".join(METHODS)})', repr(self.method), 'choose one')
        if self.classes is not None:
            check_query(as_query(self.classes))
        if self.out is None and self.task is None:
            raise UserError('a file to write (--out), or a task file to write into (--task)',
                            'neither', 'pass e.g. --out task.safetensors')
        if self.out is None and not Path(self.task).exists():
            raise UserError('a file to write (--out) for a task that is no file here',
                            str(self.task), 'pass e.g. --out task.safetensors')
        check_task_place(self.place)

    @property
    def place(self) -> Path:
        """The task file that is written."""
        return Path(self.out) if self.out is not None else task_file(self.task)

    @property
    def folder(self) -> Path:
        """The folder beside it: detections, report."""
        return self.place.with_name(f'{self.place.stem}-calibration')


@dataclass(frozen=True, eq=False)
class CalibrateResult:
    """What was found.

    Args:
        settings: Those of the run.
        calibration: What the task file holds now.
        task: The task file.
        before: Detections before, judged.
        after: Those after, each by a calibration that has not seen its image.
    """
    settings: CalibrateSettings
    calibration: Calibration
    task: Task
    before: Judged
    after: Judged


def calibrate(settings: CalibrateSettings) -> CalibrateResult:
    """Measures a model and writes what it found into a task file; the same call again resumes.

    Detections are kept in a folder beside the file, so that another rule or method needs no model.

    Raises:
        UserError: Files or settings that cannot be used, too few images, or no class in common.
    """
    settings.check()
    coco = read_coco_json(settings.data.ann_file)
    task = None if settings.task is None else read_task(settings.task)
    query = _query(settings, coco, task)
    names = query.classes
    _check_boxes(coco, names)
    predictor = Predictor(settings.model, checkpoint_for(settings.model, settings.checkpoint),
                          settings.device, settings.batch_size, dtype=settings.dtype)
    base = fingerprint(predictor.model)
    if task is None:
        task = make_task(predictor.model, dict(name='manual'), {}, _category_ids(coco, names), base,
                         model_name(find_config(settings.model)), query.caption_prompt,
                         parts=query.parts)
    task = replace(task, calibration=None)
    own = predictor.load_task(task, OWN if settings.task is None else str(settings.task))
    question = predictor.question(query, task=own, score_threshold=0., per_object='all')
    with claimed(settings.folder, _identity(settings, task, query)):
        images = detections_of(predictor, question, coco, settings.data.images, settings.folder)
        how = Fitting(Rule.read(settings.by), settings.method, settings.per_object,
                      default_threshold(predictor.model.cfg))
        note(f'fitting {settings.method} maps and thresholds by {how.rule} on {len(images)} images')
        numbers, before, after = measure(images, names, how)
        found = replace(fit(images, names, how), numbers=_plain(numbers))
        task = replace(task, calibration=found)
        save_task(task, settings.place)
    for text in found.notes:
        note(f'note: {text}')
    return CalibrateResult(settings, found, task, before, after)


def _query(settings: CalibrateSettings, coco: CocoJson, task: Task | None) -> Query:
    """What the model is asked."""
    if settings.classes is None and task is None:
        return Query.for_classes(coco.real_classes.values())
    query = task.query if settings.classes is None else as_query(settings.classes)
    names = query.classes
    known = set(coco.classes.values())
    if not known & set(names):
        raise UserError('annotations of a class that is asked for '
                        f'({", ".join(names[:5])})', f'{coco.path} with '
                        f'{", ".join(sorted(known)[:5])}', 'give both the same names')
    others = [name for name in coco.real_classes.values() if name not in names]
    if others:
        note(f'note: {len(others)} classes of {coco.path} are not asked for and left out, e.g. '
             f'{others[0]}')
    return query


def _check_boxes(coco: CocoJson, names: Iterable[str]) -> None:
    """Refuses data that say nothing of other images."""
    asked = {i for i, name in coco.classes.items() if name in set(names)}
    shown = {record['image_id'] for record in coco.examples() if record['category_id'] in asked}
    if len(shown) < LEAST_IMAGES:
        raise UserError(f'at least {LEAST_IMAGES} images with boxes of the classes, better 50',
                        f'{len(shown)} in {coco.path}', 'thresholds of so few would mean nothing: '
                        'annotate more')


def _category_ids(coco: CocoJson, names: Iterable[str]) -> dict[int, str]:
    """Category id -> name in the order of the names; names that the data lack get new ids."""
    known, new = coco.id_of_name, max(coco.classes, default=0)
    found = {}
    for name in names:
        if name not in known:
            new += 1
        found[known.get(name, new)] = name
    return found


def _identity(settings: CalibrateSettings, task: Task, query: Query) -> dict[str, Any]:
    """Everything that the detections depend on."""
    return dict(base=task.base, strategy=dict(task.strategy), query=asdict(query),
                state=state_digest(task.state), dtype=settings.dtype,
                data=file_sha256(settings.data.ann_file), images=str(settings.data.images))


def _plain(value: Any) -> Any:
    """Numbers as JSON has them, with six digits."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (float, np.floating)):
        return round(float(value), 6)
    return int(value) if isinstance(value, np.integer) else value
