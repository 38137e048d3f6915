"""Who is exported, and with which words."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glipkit.apis.asking import Classes, as_query, check_query
from glipkit.apis.build import as_detector, checkpoint_for, find_config, load
from glipkit.apis.calibration import Calibration
from glipkit.apis.index import model_name
from glipkit.apis.tasks import TaskViews, fingerprint, task_file
from glipkit.common.digests import file_sha256
from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.text.query import Query


@dataclass(frozen=True)
class Question:
    """A model and what it is asked.

    Attributes:
        name: Name of the model.
        model: The detector, or what a task makes of it.
        query: The words.
        classes: Names in the order of their labels.
        weights: Fingerprint of the model without the task.
        category_ids: Category id of each class, where the task file tells them.
        task: What is kept of the task file.
        calibration: What the task knows of its scores.
    """

    name: str
    model: GroundingDetector
    query: Query
    classes: tuple[str, ...]
    weights: str
    category_ids: tuple[int, ...] | None = None
    task: dict[str, Any] | None = None
    calibration: Calibration | None = None


def make_question(model: str | Path | GroundingDetector, classes: Classes | None,
                  task: str | Path | None, checkpoint: str | Path | None = None,
                  negative_classes: Iterable[str] = (), exclusive: Iterable[Iterable[str]] = ()
                  ) -> Question:
    """Loads a model, and a task for it.

    Args:
        model: Name, config or detector.
        classes: Class names, as calls of a predictor take them; None takes those of the task.
        task: File that ``glipkit tune`` wrote; None for none.
        checkpoint: Weights, see `glipkit.Predictor`.
        negative_classes: What must not be found.
        exclusive: Groups of classes of which one object has one.

    Raises:
        UserError: No words, both kinds of them, words that cannot be asked, a task of another
            model, or no weights.
    """
    if (classes is None) == (task is None):
        raise UserError('class names or a task file', 'both' if task is not None else 'neither',
                        'pass --classes "a, b" or --task FILE')
    query = None
    if classes is not None:
        query = as_query(classes).with_more(negative_classes, exclusive)
        if not query.classes:
            raise UserError('at least one class name', 'none', 'pass --classes "a, b"')
        check_query(query)
    name = _name_of(model)
    if isinstance(model, (str, Path)):
        model = load(model, checkpoint_for(model, checkpoint))
    model = as_detector(model)
    weights = fingerprint(model)
    if query is not None:
        return Question(name, model, query, model.label_names(query), weights)
    task = task_file(task)
    views = TaskViews(model, weights)
    key = views.load(task)
    found, view, query = views.task(key), views.view(key), views.query(key, None)
    query = views.query(key, query.with_more(negative_classes, exclusive))
    names = view.label_names(query)
    return Question(name, view, query, names, weights, views.category_ids(key, names),
                    dict(file=task.name, sha256=file_sha256(task), strategy=found.strategy),
                    found.calibration)


def _name_of(model: Any) -> str:
    if isinstance(model, (str, Path)):
        return model_name(find_config(model))
    file = getattr(getattr(model, 'cfg', None), 'filename', None)
    return model_name(Path(file)) if file else type(model).__name__
