"""A backend of Label Studio: its tasks and label interface in, rectangles in per cent out.

Label Studio is given the address ``http://HOST:PORT/label-studio``, or for a tuned task
``/label-studio/tasks/NAME``, and asks ``health``, ``setup``, ``predict`` and ``webhook`` below it.
"""
from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

from glipkit.apis.detections import Detections
from glipkit.errors import UserError
from glipkit.serve.answers import sendable
from glipkit.serve.bodies import checked, in_time, read_json
from glipkit.serve.jobs import Job
from glipkit.serve.label_config import Control, read_label_config
from glipkit.serve.label_studio_files import LabelStudioFiles
from glipkit.serve.service import Busy, Place, Service, TimedOut
from glipkit.serve.uploads import open_image

LOGGER = logging.getLogger(__name__)
Run = Callable[..., Awaitable[Any]]


class LabelStudioTask(BaseModel):
    """One task: its data, and what else Label Studio tells of it."""

    model_config = ConfigDict(extra='allow')

    id: Any = None
    data: dict[str, Any]


class PredictRequest(BaseModel):
    """What Label Studio sends to ``predict``."""

    model_config = ConfigDict(extra='allow')

    tasks: list[LabelStudioTask]
    label_config: str


class SetupRequest(BaseModel):
    """What Label Studio sends to ``setup``; of the host and key in it nothing is used."""

    model_config = ConfigDict(extra='allow')

    label_interface: str = Field('', alias='schema')


def add_label_studio(app: FastAPI, service: Service, files: LabelStudioFiles, run: Run) -> None:
    """Adds the backend, and one for each task of the service.

    Args:
        app: The application.
        service: What answers.
        files: Reads the images of tasks.
        run: Runs a function with arguments in a thread.
    """
    for prefix in ('/label-studio', '/label-studio/tasks/{task}'):
        app.include_router(_router(service, files, run), prefix=prefix, tags=['Label Studio'])


def _router(service: Service, files: LabelStudioFiles, run: Run) -> APIRouter:
    router = APIRouter()

    @router.get('')
    @router.get('/')
    @router.get('/health')
    async def health(task: str | None = None) -> dict[str, str]:
        return {'status': 'UP', 'model_class': Backend(service, files, task).version}

    @router.get('/versions')
    async def versions(task: str | None = None) -> dict[str, list[str]]:
        return {'versions': [Backend(service, files, task).version]}

    @router.post('/webhook')
    async def webhook() -> dict[str, str]:
        return {'status': 'nothing is trained here; glipkit tune learns tasks'}

    @router.post('/setup')
    async def setup(request: Request, task: str | None = None) -> dict[str, str]:
        backend = Backend(service, files, task)
        with service.place() as place:
            body = checked(SetupRequest, read_json(await in_time(request.body(), place)))
            await run(backend.check, body.label_interface)
        return {'model_version': backend.version}

    @router.post('/predict')
    async def predict(request: Request, task: str | None = None) -> dict[str, Any]:
        backend = Backend(service, files, task)
        with service.place() as place:
            body = checked(PredictRequest, read_json(await in_time(request.body(), place)))
            return await run(backend.predict, body, place)

    return router


@dataclass(frozen=True)
class Backend:
    """Answers the tasks of Label Studio.

    Args:
        service: What answers.
        files: Reads the images of tasks.
        task: Name of the tuned task whose classes are looked for; None looks for the labels.

    Raises:
        UserError: There is no task of this name.
    """

    service: Service
    files: LabelStudioFiles
    task: str | None = None

    def __post_init__(self) -> None:
        if self.task is not None:
            self.service.classes_of(self.task)

    @property
    def version(self) -> str:
        """What Label Studio keeps with the predictions."""
        return self.service.name if self.task is None else f'{self.service.name}/{self.task}'

    def check(self, label_config: str) -> None:
        """Refuses a label interface that cannot be asked for.

        Raises:
            UserError: It has no labels of rectangles, or names that nobody can ask for.
        """
        controls = read_label_config(label_config)
        for key in dict.fromkeys(control.key for control in controls):
            self._question([control for control in controls if control.key == key])

    def predict(self, body: PredictRequest, place: Place) -> dict[str, Any]:
        """The predictions of all tasks, in their order.

        A task whose image cannot be read gets an empty one with ``error``, and a line in the log.
        Where the time is over after some tasks, the first one's is the only one: Label Studio then
        asks for each of its tasks alone.

        Args:
            body: The request.
            place: Of the request.

        Raises:
            UserError: The label interface cannot be used, or no image could be read.
            TimedOut: The time was over before the first task was done.
        """
        controls = read_label_config(body.label_config)
        results: list[dict[str, Any]] = []
        errors: list[UserError] = []
        size = self.service.predictor.batch_size
        try:
            for begin in range(0, len(body.tasks), size):
                answers = self._together(body.tasks[begin:begin + size], controls, place)
                for task, answer in zip(body.tasks[begin:], answers):
                    if isinstance(answer, UserError):
                        LOGGER.warning('Label Studio, task %s: %s', task.id, answer)
                        errors.append(answer)
                        answer = {'result': [], 'score': 0., 'error': sendable(str(answer))}
                    results.append({**answer, 'model_version': self.version})
        except (TimedOut, Busy):
            if not results:
                raise
            results = results[:1]
        if errors and len(errors) == len(results):
            raise errors[0]
        return {'results': results, 'model_version': self.version}

    def _together(self, tasks: Sequence[LabelStudioTask], controls: Sequence[Control],
                  place: Place) -> list[dict[str, Any] | UserError]:
        """Predictions of a few tasks, whose images may run together; an error in place of one."""
        jobs = [self._submit(task, controls, place) for task in tasks]
        answers: list[dict[str, Any] | UserError] = []
        for mine in jobs:
            if isinstance(mine, UserError):
                answers.append(mine)
                continue
            regions = []
            for group, job in mine:
                found = self.service.wait(job, place)
                default = self.service.predictor.score_threshold
                regions += [region for control in group for region in regions_of(
                    self._own(found, control, group), control, default)]
            scores = [region['score'] for region in regions]
            answers.append({'result': regions,
                            'score': float(np.mean(scores)) if scores else 0.})
        return answers

    def _submit(self, task: LabelStudioTask, controls: Sequence[Control],
                place: Place) -> list[tuple[list[Control], Job]] | UserError:
        """A job for each image of a task, with the controls that it is for."""
        keys = dict.fromkeys(control.key for control in controls if control.key in task.data)
        if not keys:
            wanted = ', '.join(dict.fromkeys(control.key for control in controls))
            return UserError(f'a task with {wanted} in its data', ', '.join(task.data) or 'none',
                             'check the label interface')
        jobs = []
        try:
            for key in keys:
                group = [control for control in controls if control.key == key]
                content = self.files.read(task.data[key], task.id, place.left())
                with open_image(content, self.service.limits, f'the image of task {task.id}') \
                        as image:
                    jobs.append((group, self.service.submit(image, self._question(group), place)))
        except UserError as error:
            return error
        return jobs

    def _own(self, found: Detections, control: Control, group: Sequence[Control]) -> Detections:
        """What one of several controls is told: a kind and a colour may both be of one object."""
        if len(group) == 1 or self.service.predictor.per_object != 'one':
            return found
        others = {word for other in group for word in other.words} - set(control.words)
        return found[[name not in others for name in found.names]].one_per_object()

    def _question(self, group: Sequence[Control]) -> Any:
        """What is asked of one image for all of its controls."""
        words = list(dict.fromkeys(word for control in group for word in control.words))
        default = self.service.predictor.score_threshold
        threshold = min(default if control.threshold is None else control.threshold
                        for control in group)
        # One label per object is chosen for each control by itself, see `_own`.
        labels = None if len(group) == 1 else 'all'
        if self.task is None:
            return self.service.ask(words, score_threshold=threshold, per_object=labels)
        known = self.service.classes_of(self.task)
        if not set(known) & set(words):
            raise UserError(f'a label interface with labels of the task ({", ".join(known[:20])})',
                            ', '.join(words[:20]), 'name the labels as the classes of the task')
        return self.service.ask(task=self.task, score_threshold=threshold, per_object=labels)


def regions_of(found: Detections, control: Control, default: float = 0.) -> list[dict[str, Any]]:
    """Regions of one control: rectangles in per cent of the upright image, as the browser shows it.

    Args:
        found: Detections in the image.
        control: Whose words are taken, where they pass its threshold.
        default: The threshold of one without its own.
    """
    height, width = found.size
    wanted = default if control.threshold is None else control.threshold
    return [_region(box / np.array([width, height, width, height]) * 100, score,
                    control.words[name], control, found.size)
            for box, score, _, name in found if name in control.words and score >= wanted]


def _region(box: np.ndarray, score: float, label: str, control: Control,
            size: tuple[int, int]) -> Mapping[str, Any]:
    x1, y1, x2, y2 = map(float, box)
    return {'id': uuid.uuid4().hex[:10], 'from_name': control.name, 'to_name': control.image,
            'type': 'rectanglelabels', 'original_width': size[1], 'original_height': size[0],
            'image_rotation': 0, 'score': score,
            'value': {'x': x1, 'y': y1, 'width': x2 - x1, 'height': y2 - y1, 'rotation': 0,
                      'rectanglelabels': [label]}}
