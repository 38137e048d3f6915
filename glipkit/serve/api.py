"""The HTTP interface: predictions, what there is, and beside it the page and the backends."""
from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import anyio
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from glipkit.errors import UserError
from glipkit.serve.answers import as_coco, error_body
from glipkit.serve.bodies import Received, openapi_body, received
from glipkit.serve.examples_api import add_examples
from glipkit.serve.guard import Guard
from glipkit.serve.label_studio import add_label_studio
from glipkit.serve.label_studio_files import LabelStudioFiles
from glipkit.serve.methods import refuse_other_methods
from glipkit.serve.page import mount_page
from glipkit.serve.page.guard import UPLOAD
from glipkit.serve.page.session import PICTURES
from glipkit.serve.service import Busy, Place, Service, TimedOut, TooLarge, own_thresholds
from glipkit.serve.uploads import open_image
from glipkit.version import __version__

Result = TypeVar('Result')
ABOUT = '''Words in, boxes out. `POST /predict` takes an image as a form or as base64 in JSON, and
class names, a caption or a task. `POST /examples` takes images with boxes around a thing, and gives
the name of a task that finds it. Errors are JSON with one line: expected, got, what to do.'''
#: Status -> when, for the OpenAPI page.
STATUSES = {400: 'No form or no JSON.', 401: 'The token is missing or wrong.',
            408: 'The body came too slowly.', 413: 'Too many bytes, pixels or words.',
            415: 'Neither a form nor JSON.', 422: 'Something in the request cannot be used.',
            503: 'All places are taken; Retry-After says when to come again.',
            504: 'No answer in time.'}


def create_app(service: Service, *, token: str | None = None, page: bool = True,
               label_studio: LabelStudioFiles | None = None) -> FastAPI:
    """The web application of a service; it closes the service when it ends.

    Args:
        service: What answers.
        token: Secret that every request must show, those for the page too; None lets everybody in.
        page: Whether the page for people is mounted at ``/``.
        label_studio: Where images that Label Studio keeps are fetched; None fetches none.

    Raises:
        UserError: An empty token, or the page without the package gradio.
    """
    if token is not None and not token.strip():
        raise UserError('a token', 'an empty one', 'pass a long word, or none')
    app = FastAPI(title='glipkit', version=__version__, description=ABOUT, redoc_url=None,
                  lifespan=_lifespan(service))
    threads = Threads(service)
    _add_errors(app)
    _add_facts(app, service)
    _add_predict(app, service, threads)
    if service.learning is not None:
        add_examples(app, service, service.learning)
    add_label_studio(app, service, label_studio or LabelStudioFiles(service.limits), threads.run)
    # A person drops several pictures at once; each is limited by the page.
    larger = {UPLOAD: PICTURES * service.limits.max_bytes} if page else {}
    app.add_middleware(Guard, token=token, max_bytes=service.limits.max_bytes, larger=larger)
    if page:
        refuse_other_methods(app)
        mount_page(app, service)
    return app


class Threads:
    """Runs what waits for the model in threads, at most one per place.

    Args:
        service: Whose places there are.
    """

    def __init__(self, service: Service) -> None:
        self._limiter = anyio.CapacityLimiter(service.limits.places)

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """The result of a function, which a server that is being stopped does not wait for."""
        return await anyio.to_thread.run_sync(partial(work, *arguments), limiter=self._limiter,
                                              abandon_on_cancel=True)


def _lifespan(service: Service) -> Callable[[FastAPI], Any]:

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close(service.limits.timeout)

    return lifespan


def _add_errors(app: FastAPI) -> None:
    """What each error of the package becomes."""
    # TooLarge is a UserError, too: the nearest class decides.
    for kind, status in ((UserError, 422), (TooLarge, 413), (Busy, 503), (TimedOut, 504)):
        app.add_exception_handler(kind, partial(_answer_error, status))
    app.add_exception_handler(HTTPException, _answer_http_error)


async def _answer_error(status: int, request: Request, error: Exception) -> JSONResponse:
    headers = {'Retry-After': str(error.retry_after)} if isinstance(error, Busy) else None
    return JSONResponse(error_body(error), status, headers)


async def _answer_http_error(request: Request, error: HTTPException) -> JSONResponse:
    return JSONResponse({'error': str(error.detail)}, error.status_code, error.headers)


def _add_facts(app: FastAPI, service: Service) -> None:

    @app.get('/health', summary='Whether the server answers')
    async def health() -> dict[str, Any]:
        return {'status': 'UP', 'version': __version__, 'waiting': service.waiting()}

    @app.get('/models', summary='The model')
    async def models() -> dict[str, Any]:
        return {'models': [{'name': name, 'score_threshold': service.predictor.score_threshold}
                           for name in service.models()]}

    @app.get('/tasks', summary='The tasks that it has learned')
    async def tasks() -> dict[str, Any]:
        return {'tasks': [{'name': name, 'classes': service.classes_of(name)}
                          for name in service.tasks()]}


def _add_predict(app: FastAPI, service: Service, threads: Threads) -> None:

    @app.post('/predict', summary='Boxes of what is asked for, in one image',
              openapi_extra=openapi_body(),
              responses={status: {'description': text} for status, text in STATUSES.items()})
    async def predict(request: Request) -> JSONResponse:
        # The place comes first: nobody fills the memory with bodies that wait.
        with service.place() as place:
            async with received(request, place) as one:
                return JSONResponse(await threads.run(_predict, service, one, place))


def _predict(service: Service, received: Received, place: Place) -> dict[str, Any]:
    asked = received.asked
    question = service.ask(asked.query(), asked.caption, asked.task, asked.model,
                           asked.score_threshold, asked.per_object, asked.negative_classes,
                           asked.exclusive)
    with open_image(received.content, service.limits) as image:
        job = service.submit(image, question, place)
    found = service.wait(job, place)
    facts = {'model': service.name, 'task': asked.task or None,
             'score_threshold': question.shown.threshold}
    own = own_thresholds(question)
    return as_coco(found, received.name, facts if own is None else {**facts, 'thresholds': own})
