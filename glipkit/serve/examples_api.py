"""Boxes around a thing in, a task that finds it out: ``/examples`` of the HTTP interface."""
from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, BinaryIO

import anyio
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from glipkit.errors import UserError
from glipkit.serve.bodies import FORM, JSON, checked, in_time, kind_of, only, other_kind, read_json
from glipkit.serve.learning import Learned, Learning, Lesson
from glipkit.serve.limits import Busy, LearningLimits, Stopped, TimedOut, TooLarge
from glipkit.serve.references import Box, Reference, make_reference
from glipkit.serve.service import Place, Service
from glipkit.serve.uploads import from_base64, open_image

#: Seconds between two looks at whether the one who asked is still there.
LOOK = .2
Boxes = list[list[Box]]


class Shown(BaseModel):
    """A thing, shown by boxes."""

    model_config = ConfigDict(extra='forbid')

    name: str = Field(min_length=1, description='What it shall be called.')
    boxes: Boxes = Field(description='For each image a list of its boxes, each [left, top, right, '
                                     'bottom] in pixels of the upright image.')
    negatives: Boxes | None = Field(None, description='The same for what looks like it and is not '
                                                      'meant; may be left out.')
    seconds: float | None = Field(None, gt=0, description="Budget; at most, and without, the "
                                                          "server's.")


class ShownImages(Shown):
    """The same with its images."""

    images: list[str] = Field(min_length=1, description='The encoded images in base64, or as data '
                                                        'URLs.')


def _openapi_body() -> dict[str, Any]:
    schema = Shown.model_json_schema()
    fields = schema['properties']
    file = {'type': 'string', 'format': 'binary'}
    images = {'type': 'array', 'items': file, 'description': 'The image files.'}
    # Lists of lists come as JSON in a form.
    texts = {key: {'type': 'string', 'description': f'JSON. {fields[key]["description"]}'}
             for key in ('boxes', 'negatives')}
    form = {**schema, 'properties': {'images': images, **fields, **texts},
            'required': ['images', 'name', 'boxes']}
    return {'requestBody': {'required': True, 'content': {
        FORM: {'schema': form}, JSON: {'schema': ShownImages.model_json_schema()}}}}


def add_examples(app: FastAPI, service: Service, learning: Learning) -> None:
    """Adds the routes below ``/examples``.

    Args:
        app: The application.
        service: What answers afterwards.
        learning: What learns.
    """
    threads = anyio.CapacityLimiter(learning.limits.places)
    # A server that is told to end does not wait for the rest of a lesson.
    app.state.before_shutdown = [*getattr(app.state, 'before_shutdown', ()), learning.stop_all]

    @app.post('/examples', summary='A task that finds what the boxes show',
              openapi_extra=_openapi_body())
    async def learn(request: Request) -> dict[str, Any]:
        # The place comes first: nobody fills the memory with bodies that wait.
        with learning.place():
            async with AsyncExitStack() as opened:
                shown, files = await _received(request, service, learning.limits, opened)
                # Who decodes pictures does not hold up the others.
                reference = await anyio.to_thread.run_sync(
                    partial(_reference, shown, files, service, learning.limits), limiter=threads)
            return await _learned(request, service, learning,
                                  learning.begin([reference], shown.seconds))

    @app.get('/examples/{task}', summary='Its task file, for --task')
    async def task_file(task: str) -> Response:
        learned = _known(learning, task)
        return Response(learned.content, media_type='application/octet-stream', headers={
            'Content-Disposition': f'attachment; filename="{learned.file_name}"'})

    @app.delete('/examples/{task}', summary='Forgets it')
    async def forget(task: str) -> dict[str, Any]:
        if not learning.forget(task):
            raise _unknown()
        return {'forgotten': task}


def _known(learning: Learning, task: str) -> Learned:
    learned = learning.find(task)
    if learned is None:
        raise _unknown()
    return learned


def _unknown() -> HTTPException:
    return HTTPException(404, 'expected a task that was shown here; got none, or one that is '
                              'forgotten; show it again')


async def _learned(request: Request, service: Service, learning: Learning,
                   lesson: Lesson) -> dict[str, Any]:
    """The answer, once it is there; who has hung up ends it."""
    most = learning.limits.places * learning.limits.seconds + service.limits.timeout
    try:
        with anyio.fail_after(most):
            while (learned := lesson.wait(0)) is None:
                if await request.is_disconnected():
                    raise HTTPException(499, 'nobody waits for it any more')
                await anyio.sleep(LOOK)
    except TimeoutError:
        raise TimedOut(f'nothing was learned within {most:g} s; try again, or with fewer '
                       'boxes') from None
    except Stopped as error:  # by the end of the server
        raise Busy(f'{error}, since the server is being stopped; try again soon', 5) from error
    finally:
        lesson.stop()
    return {'task': learned.task, 'names': list(learned.names),
            'seconds': round(learned.seconds, 2), 'file': f'/examples/{learned.task}',
            'kept_seconds': learning.limits.age}


async def _received(request: Request, service: Service, limits: LearningLimits,
                    opened: AsyncExitStack) -> tuple[Shown, Sequence[bytes | BinaryIO]]:
    """A request, read whole, and its images, which are there until the stack is closed."""
    place = Place(time.monotonic() + service.limits.timeout)
    kind = kind_of(request)
    if kind == JSON:
        body = checked(ShownImages, read_json(await in_time(request.body(), place)))
        files = [from_base64(text) for text in body.images]
        shown: Shown = body
    elif kind == FORM:
        form = await in_time(request.form(max_files=limits.pictures, max_fields=100), place)
        opened.push_async_callback(form.close)
        shown, files = _from_form(form)
    else:
        raise other_kind(kind, 'send the images as a form, e.g. curl -F images=@photo.jpg')
    if len(files) > limits.pictures:
        raise TooLarge(f'at most {limits.pictures} images', str(len(files)), 'leave some out')
    service.limits.check_words((shown.name,), None)
    return shown, files


def _from_form(form: FormData) -> tuple[Shown, list[BinaryIO]]:
    uploads = form.getlist('images')
    files = [upload.file for upload in uploads if isinstance(upload, UploadFile)]
    if not files or len(files) != len(uploads):
        raise UserError('files as the field images', 'texts' if uploads else 'none',
                        'with curl: -F images=@one.jpg -F images=@two.jpg')
    fields: dict[str, Any] = {name: only(name, form.getlist(name))
                              for name in form if name != 'images'}
    for name in ('boxes', 'negatives'):
        if fields.get(name):
            fields[name] = read_json(fields[name].encode())
    return checked(Shown, {name: value for name, value in fields.items() if value != ''}), files


def _reference(shown: Shown, files: Sequence[bytes | BinaryIO], service: Service,
               limits: LearningLimits) -> Reference:
    """What is shown, decoded one picture after the other and made smaller."""
    return make_reference(shown.name, [
        partial(open_image, file, service.limits, f'image {number}')
        for number, file in enumerate(files, 1)], shown.boxes, shown.negatives, limits.side)
