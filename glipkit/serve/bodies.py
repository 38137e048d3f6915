"""Requests for a prediction, as a form with a file or as JSON."""
from __future__ import annotations

import asyncio
import json
import posixpath
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Literal

from fastapi import HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile

from glipkit.apis.asking import as_query, split_names
from glipkit.errors import UserError
from glipkit.serve.service import Place
from glipkit.serve.uploads import from_base64
from glipkit.text.query import Query

JSON, FORM = 'application/json', 'multipart/form-data'


class Asked(BaseModel):
    """What is asked of an image: class names, a caption, or the classes of a task."""

    model_config = ConfigDict(extra='forbid', protected_namespaces=())

    classes: list[str] | dict[str, list[str]] | None = Field(
        None, description='Names to look for; in JSON also name -> its other names.')
    caption: str | None = Field(None, description='A sentence whose noun phrases are looked for.')
    task: str | None = Field(None, description='Name of a task, from /tasks; without classes its '
                                               'own are looked for.')
    model: str | None = Field(None, description='Name of the model, from /models; may be left out.')
    score_threshold: float | None = Field(None, ge=0, le=1, description='Lowest score; without, '
                                                                        "the model's own.")
    per_object: Literal['one', 'all'] | None = Field(None, description='One label per object, or '
                                                                       'every name that claims it.')
    negative_classes: list[str] = Field([], description='Names that must not be found: what looks '
                                                        'more like one of them is left out.')
    exclusive: list[list[str]] = Field([], description='Groups of classes of which one object has '
                                                       'one; in a form, a field for each.')
    combine: Literal['max', 'mean'] = Field('max', description='How the scores of the names of one '
                                                               'class become one.')

    def query(self) -> Query | None:
        """The class names and what goes with them; None without class names.

        Raises:
            UserError: Names that would mean two things.
        """
        if self.classes is None:
            return None
        query = as_query(self.classes)
        return replace(query, combine=self.combine) if query.synonyms else query


class AskedImage(Asked):
    """The same with its image."""

    image: str = Field(description='The encoded image in base64, or as a data URL.')


@dataclass(frozen=True)
class Received:
    """One request.

    Args:
        asked: What is asked.
        content: The encoded image.
        name: Name of its file, without folders.
    """

    asked: Asked
    content: bytes | BinaryIO
    name: str


def openapi_body() -> dict[str, Any]:
    """The part of the OpenAPI page that describes both forms of a request."""
    schema = Asked.model_json_schema()
    file = {'type': 'string', 'format': 'binary', 'description': 'The image file.'}
    form = {**schema, 'properties': {'image': file, **schema['properties']},
            'required': ['image'], 'title': 'Form'}
    return {'requestBody': {'required': True, 'content': {
        FORM: {'schema': form}, JSON: {'schema': AskedImage.model_json_schema()}}}}


@asynccontextmanager
async def received(request: Request, place: Place) -> AsyncIterator[Received]:
    """A request, read whole; its file is there inside the block.

    Raises:
        UserError: It is no correct request.
        HTTPException: Status 400 for no JSON, 408 for a body that comes too slowly, 415 for another
            type of body.
    """
    kind = request.headers.get('content-type', '').partition(';')[0].strip().lower()
    if kind == JSON:
        body = read_json(await in_time(request.body(), place))
        asked = checked(AskedImage, body)
        yield Received(asked, from_base64(asked.image), 'image')
    elif kind == FORM:
        form = await in_time(request.form(max_files=1, max_fields=10_000), place)
        try:
            yield _from_form(form)
        finally:
            await form.close()
    else:
        raise HTTPException(415, f'expected a body of type {FORM} or {JSON}; got {kind or "none"}; '
                                 'send the image as a form, e.g. curl -F image=@photo.jpg')


async def in_time(body: Any, place: Place) -> Any:
    """What a coroutine that reads a body gives, while there is time.

    Raises:
        HTTPException: Status 408, it took too long.
    """
    try:
        return await asyncio.wait_for(body, place.left())
    except (TimeoutError, asyncio.TimeoutError):
        raise HTTPException(408, 'expected the body of the request in time; got a part of it; '
                                 'send a smaller image') from None


def read_json(body: bytes) -> Any:
    """The value that a body holds.

    Raises:
        HTTPException: Status 400, it is no JSON.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f'expected JSON; got {error}; correct the body') from error


def checked(kind: type[BaseModel], body: Any) -> Any:
    """A body as one of the models of this module.

    Raises:
        UserError: A field that is missing, unknown, or of another type.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = '.'.join(map(str, first['loc'])) or 'the body'
        value = '' if first['type'] == 'missing' else f', {str(first["input"])[:60]!r}'
        raise UserError('a request as /docs describes it',
                        f'for {place}: {first["msg"]}{value}', f'correct {place}') from error


def _from_form(form: FormData) -> Received:
    upload = form.get('image')
    if not isinstance(upload, UploadFile):
        got = 'none' if upload is None else 'a text'
        raise UserError('a file as the field image', got, 'with curl: -F image=@photo.jpg')
    fields: dict[str, Any] = {}
    for name in form:
        texts = form.getlist(name)
        if name in ('classes', 'negative_classes'):
            fields[name] = [one for text in texts for one in split_names(_only(name, [text]))]
        elif name == 'exclusive':
            fields[name] = [group for text in texts if (group := split_names(_only(name, [text])))]
        elif name != 'image':
            fields[name] = _only(name, texts)
    # An empty field of a form is one that was not filled in.
    asked = checked(Asked, {name: value for name, value in fields.items() if value not in ('', [])})
    return Received(asked, upload.file, posixpath.basename((upload.filename or 'image')
                                                           .replace('\\', '/')))


def _only(name: str, values: Sequence[Any]) -> str:
    if len(values) != 1 or not isinstance(values[0], str):
        raise UserError(f'the field {name} once, as a text', f'{len(values)} of them, or a file',
                        'send it once')
    return values[0]
