"""One model that answers many at once: what the page, the HTTP interface and the backends share."""
from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glipkit.apis.asking import Classes, Question, as_query
from glipkit.apis.batches import Prepared
from glipkit.apis.detections import Detections
from glipkit.apis.images import ImageSource, list_images
from glipkit.apis.predictor import Predictor
from glipkit.apis.tasks import Task
from glipkit.errors import UserError
from glipkit.serve.jobs import Job, JobQueue
from glipkit.serve.learners import learn_task
from glipkit.serve.learning import Learner, Learning
from glipkit.serve.limits import Busy as Busy  # callers find all errors of a prediction here
from glipkit.serve.limits import LearningLimits, Limits, TimedOut, TooLarge
from glipkit.text.query import Query
from glipkit.text.query_parts import frozen_names

__all__ = ['Busy', 'Limits', 'Place', 'Service', 'TimedOut', 'TooLarge']

#: Images that are decoded at once.
DECODERS = 4
#: What a server learns where nobody says otherwise.
LEARNING = LearningLimits()


@dataclass(frozen=True, eq=False)
class Place:
    """The right to be served: one of `Limits.places`.

    Args:
        deadline: Time of `time.monotonic` by which the answer must be there.
    """

    deadline: float

    def left(self) -> float:
        """Seconds that are left, at least 0."""
        return max(0., self.deadline - time.monotonic())


@dataclass(frozen=True, eq=False)
class _Work:
    item: Prepared
    question: Question


class Service:
    """One predictor for many callers at once, within limits.

    Images are decoded in the threads of the callers and wait in one queue for the model, which one
    thread runs. Images of one size that are asked the same go through it together, as many as the
    predictor's ``batch_size``.

    Args:
        predictor: Predictor without a task of its own.
        name: Name of its model.
        tasks: Name -> file or task; all are loaded here, and calls know them by name only.
        limits: The most that it takes.
        learning: The most that it learns from boxes of its visitors; None: it learns nothing.
        learner: What learns.

    Attributes:
        learning: `Learning`, or None.

    Raises:
        UserError: A task that cannot be loaded, or a name without letters.
    """

    def __init__(self, predictor: Predictor, *, name: str = 'model',
                 tasks: Mapping[str, str | Path | Task] | None = None,
                 limits: Limits | None = None,
                 learning: LearningLimits | None = LEARNING,
                 learner: Learner = learn_task) -> None:
        self.predictor, self.name, self.limits = predictor, name, limits or Limits()
        self._tasks: dict[str, tuple[str, ...]] = {}
        for task, source in (tasks or {}).items():
            if not task.strip():
                raise UserError('a task with a name', repr(task), 'name it')
            predictor.load_task(source, task)
            self._tasks[task] = predictor.question(task=task).names
        self._places = threading.BoundedSemaphore(self.limits.places)
        self._decoding = threading.BoundedSemaphore(DECODERS)
        self._queue = JobQueue(self._run, predictor.batch_size)
        self.learning = None if learning is None else Learning(predictor, learning, learner,
                                                               self._queue.wait_idle)

    # -- what there is ----------------------------------------------------------------------------

    def models(self) -> list[str]:
        """Names of the models, one."""
        return [self.name]

    def tasks(self) -> list[str]:
        """Names of the tasks that everybody knows; what visitors have shown is theirs."""
        return list(self._tasks)

    def classes_of(self, task: str) -> tuple[str, ...]:
        """Class names that a task looks for.

        Raises:
            UserError: There is no task of this name.
        """
        return self._check_task(task)

    def thresholds_of(self, task: str | None) -> dict[str, float] | None:
        """Class name -> its own threshold, of a calibrated task; None where there are none.

        Raises:
            UserError: There is no task of this name.
        """
        if not task:
            return None
        self._check_task(task)
        return own_thresholds(self.predictor.question(task=task))

    def waiting(self) -> int:
        """Number of images that wait for the model."""
        return len(self._queue)

    # -- predictions ------------------------------------------------------------------------------

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place inside the block; for callers that have something to do before they predict.

        Raises:
            Busy: There is none.
        """
        if not self._places.acquire(blocking=False):
            raise Busy(f'{self.limits.places} requests are being served, and no more at once; '
                       'try again soon')
        try:
            yield Place(time.monotonic() + self.limits.timeout)
        finally:
            self._places.release()

    def predict(self, image: Image.Image | np.ndarray, *, classes: Classes | None = None,
                caption: str | None = None, task: str | None = None, model: str | None = None,
                score_threshold: float | None = None, per_object: str | None = None,
                negative_classes: Sequence[str] = (),
                exclusive: Sequence[Sequence[str]] = ()) -> Detections:
        """Detections of one image; waits for its turn.

        Args:
            image: A PIL image, or an array (H, W, 3) or (H, W), RGB or grey, uint8. No path.
            classes: Names to look for, as a list, as names with other names, or as a `Query`.
            caption: A sentence whose noun phrases are looked for, instead of classes.
            task: Name of a task; without classes its own are looked for.
            model: None, or the name of the model.
            score_threshold: Lowest score; None takes the predictor's.
            per_object: ``'one'`` or ``'all'`` labels of an object; None takes the predictor's.
            negative_classes: What must not be found.
            exclusive: Groups of classes of which one object has one.

        Returns:
            Detections whose ``image`` is the one that was passed.

        Raises:
            UserError: Something in the request cannot be used; `TooLarge` where it is too much.
            Busy: There is no place.
            TimedOut: The answer is not there in time.
        """
        with self.place() as place:
            asked = self.ask(classes, caption, task, model, score_threshold, per_object,
                             negative_classes, exclusive)
            return replace(self.wait(self.submit(image, asked, place), place), image=image)

    def ask(self, classes: Classes | None = None, caption: str | None = None,
            task: str | None = None, model: str | None = None,
            score_threshold: float | None = None, per_object: str | None = None,
            negative_classes: Sequence[str] = (), exclusive: Sequence[Sequence[str]] = ()
            ) -> Question:
        """The question of a request, checked; for the arguments see `predict`.

        Raises:
            UserError: As `predict`.
        """
        if model not in (None, '', self.name):
            raise UserError(f'the model {self.name}', repr(model), 'leave it out')
        if task:
            self._check_task(task)
        query = None if classes is None else _as_query(classes)
        negatives = frozen_names(negative_classes, 'negative_classes')
        if caption is not None and not isinstance(caption, str):
            raise UserError('a caption as a text', f'{type(caption).__name__}', 'pass a text')
        self.limits.check_words(None if query is None and not negatives else (
            *(name for name, _ in (query.asked if query is not None else ())), *negatives), caption)
        return self.predictor.question(query, caption, task=task or None, channel_order='rgb',
                                       score_threshold=score_threshold, per_object=per_object,
                                       negative_classes=negatives, exclusive=exclusive)

    def submit(self, image: Image.Image | np.ndarray, question: Question, place: Place) -> Job:
        """Decodes an image and puts it into the queue; it is not needed any more after that.

        Args:
            image: As in `predict`.
            question: From `ask`.
            place: From `place`.

        Returns:
            The job, for `wait`.

        Raises:
            UserError: The image is too large, or cannot be read.
            TimedOut: There was no time left to decode it.
        """
        if isinstance(image, Image.Image):
            self.limits.check_size(*image.size)
        elif isinstance(image, np.ndarray) and image.ndim > 1:
            self.limits.check_size(image.shape[1], image.shape[0])
        else:
            raise UserError('an image as PIL image or array of pixels', type(image).__name__,
                            'open it first')
        source, = list_images(image)
        # Decoded images are what takes memory, so that few are at once.
        if not self._decoding.acquire(timeout=place.left()):
            raise self._late()
        try:
            item = self.predictor.prepare(source, question.query, question.names,
                                          question.channel_order, question.category_ids)
        finally:
            self._decoding.release()
        item = replace(item, source=ImageSource(None, None, 0))
        key = (id(question.model), question.query, question.shown,
               tuple(item.packed['inputs'].shape))
        job = Job(key, _Work(item, question))
        self._queue.put(job)
        return job

    def wait(self, job: Job, place: Place) -> Detections:
        """The result of a job, without an image.

        Raises:
            TimedOut: It is not there in time, and will not be.
            Busy: The service was closed before it was its turn.
        """
        try:
            return job.answer.result(place.left())
        except NotYet:
            if job.answer.done():  # just now
                return job.answer.result()
            self._queue.drop(job)
            raise self._late() from None
        except CancelledError:
            raise Busy('the server is being stopped; try again soon', 5) from None

    def _late(self) -> TimedOut:
        return TimedOut(f'no answer within {self.limits.timeout:g} s; try again, or with a smaller '
                        'image or fewer classes')

    def close(self, timeout: float | None = None) -> None:
        """Ends the service after what runs; what waits is refused with `Busy`.

        Args:
            timeout: Seconds to wait for what runs; None waits as long as it takes.
        """
        if self.learning is not None:
            self.learning.close(timeout)
        self._queue.close(timeout)

    def _check_task(self, task: str) -> tuple[str, ...]:
        """The class names of a task, if it is one that is listed, or that a visitor has shown."""
        # Whatever is no listed name stays a name: the predictor would take it for a file.
        if isinstance(task, str):
            if task in self._tasks:
                return self._tasks[task]
            learned = None if self.learning is None else self.learning.find(task)
            if learned is not None:
                return learned.names
        known = ', '.join(self._tasks) or 'none: the server was started without tasks'
        raise UserError(f'the name of a task ({known})', repr(task),
                        'choose one of these, or show the thing again if it was one of yours')

    def _run(self, works: Sequence[_Work]) -> list[Detections]:
        question = works[0].question
        return self.predictor.detect([work.item for work in works], model=question.model,
                                     shown=question.shown)


def own_thresholds(question: Question) -> dict[str, float] | None:
    """Class name -> its own threshold, where a calibrated task answers and nobody said another."""
    shown = question.shown
    if shown.calibration is None or not shown.by_class:
        return None
    return dict(zip(question.names, shown.calibration.limits(question.names).tolist()))


def _as_query(classes: Any) -> Query:
    """Class names in one of the forms of a request; every name is a string."""
    if isinstance(classes, (Query, Mapping)):
        return as_query(classes)
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise UserError('class names as a list', f'{type(classes).__name__}',
                        "pass e.g. ['person', 'dog']")
    strange = next((name for name in classes if not isinstance(name, str)), None)
    if strange is not None:
        raise UserError('class names that are texts', repr(strange)[:80], 'pass texts')
    return Query.for_classes(classes)
