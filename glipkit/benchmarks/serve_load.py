"""Requests for a server under load, good and bad ones, and tasks that differ from their model."""
from __future__ import annotations

import base64
import copy
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from glipkit.apis.tasks import fingerprint, make_task, save_task
from glipkit.engine.transfer import apply, build_strategy
from glipkit.models.contract import GroundingDetector
from glipkit.text.query import Query
from glipkit.worlds.shapes import draw_scene

NAMES = ('large red plain circle', 'small blue dotted star', 'large green plain square')
#: Name of a task -> its categories.
TASKS = {'stars': {4: 'small blue dotted star', 9: 'large red plain circle'},
         'shapes': {1: 'square', 2: 'circle', 3: 'star'}}
#: (width, height) of the images.
SIZES = ((320, 240), (640, 480), (480, 640), (97, 301))
#: What good requests ask, in turn.
QUESTIONS: Mapping[str, Mapping[str, Any]] = {
    'three classes': {'classes': list(NAMES)},
    'forty classes': {'classes': [*NAMES, *(f'thing number {i}' for i in range(37))]},
    'caption': {'caption': 'a red circle beside a blue star'},
    'task': {'task': 'stars'}, 'other task': {'task': 'shapes'},
}
#: Every such request is a bad one.
EVERY = 8


@dataclass(frozen=True, eq=False)
class Call:
    """One request.

    Args:
        kind: Its row in the table.
        key: Equal for requests with equal answers.
        image: Image that is sent.
        question: What is asked.
        as_json: Whether it is sent as JSON, else as a form.
        status: Status that it should get.
        changes: What a bad request is instead: arguments of the client.
    """

    kind: str
    key: Any
    image: Image.Image
    question: Mapping[str, Any]
    as_json: bool = False
    status: int = 200
    changes: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def _encoded(self) -> bytes:
        stream = io.BytesIO()
        self.image.save(stream, 'PNG')
        return stream.getvalue()

    def request(self) -> dict[str, Any]:
        """Arguments for the client."""
        if self.changes:
            return dict(self.changes)
        if self.as_json:
            return {'json': {'image': base64.b64encode(self._encoded).decode(), **self.question}}
        return {'files': {'image': ('a.png', self._encoded)}, 'data': dict(self.question)}


def make_calls(number: int, seed: int) -> list[Call]:
    """Requests in an order of their own: every size with every question, bad ones among them."""
    rng = np.random.default_rng(seed)
    images = [draw_scene(NAMES, max(size), rng)[0].crop((0, 0, *size)) for size in SIZES]
    bad = _bad(images[0])
    calls = []
    for i in range(number):
        if i % EVERY == EVERY - 1:
            status, changes = bad[i // EVERY % len(bad)]
            calls.append(Call('bad input', None, images[0], {}, status=status, changes=changes))
            continue
        image, kind = int(rng.integers(len(images))), list(QUESTIONS)[i % len(QUESTIONS)]
        calls.append(Call(kind, (image, kind), images[image], QUESTIONS[kind],
                          as_json=bool(rng.integers(2))))
    return calls


def _bad(image: Image.Image) -> Sequence[tuple[int, Mapping[str, Any]]]:
    """Status and arguments of bad requests."""
    stream = io.BytesIO()
    image.save(stream, 'PNG')
    whole = stream.getvalue()
    # The same file, whose header (its length, kind, sizes and more, and a sum) says it is huge.
    header = whole[12:16] + (10_000).to_bytes(4, 'big') * 2 + whole[24:29]
    huge = whole[:12] + header + zlib.crc32(header).to_bytes(4, 'big') + whole[33:]

    def form(content: bytes, **fields: Any) -> dict[str, Any]:
        return {'files': {'image': ('a.png', content)}, 'data': fields}

    return [(422, form(whole[:2000], classes='a')), (422, form(b'no image', classes='a')),
            (413, form(huge, classes='a')), (422, form(whole)),
            (422, form(whole, task='../../stars.safetensors')),
            (422, {'json': {'image': '/etc/passwd', 'classes': ['a']}}),
            (422, {'json': {'image': 'http://127.0.0.1/a.png', 'classes': ['a']}}),
            (400, {'content': b'{', 'headers': {'content-type': 'application/json'}}),
            (413, form(whole, classes=','.join(f'name {i}' for i in range(2000))))]


def write_tasks(model: GroundingDetector, folder: Path, seed: int) -> dict[str, Path]:
    """Name -> file of two tasks, whose heads were moved at random from the model's."""
    base, files = fingerprint(model), {}
    for number, (name, classes) in enumerate(TASKS.items()):
        changed, strategy = copy.deepcopy(model), build_strategy({'name': 'head'})
        strategy.add(changed, changed.prompts(Query.for_classes(classes.values())))
        apply(changed, strategy)
        generator = torch.Generator().manual_seed(seed + number)
        with torch.no_grad():
            for parameter in changed.parameters():
                if parameter.requires_grad:
                    noise = torch.randn(parameter.shape, generator=generator)
                    parameter.add_(.02 * parameter.abs().mean() * noise.to(parameter))
        files[name] = folder / f'{name}.safetensors'
        save_task(make_task(model, {'name': 'head'}, strategy.state(changed), classes, base,
                            'served'), files[name])
    return files
