"""What tests of the page need: a service that answers at once, and a server on this machine."""
from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from glipkit.apis.detections import Detections
from glipkit.serve.limits import Limits
from glipkit.serve.running import make_server


class FixedService:
    """Finds the first name twice and every other one once, whatever the picture shows.

    Args:
        **limits: Of `Limits`.

    Attributes:
        asked: The keywords of every call.
        fails: Raised by the call of this number, from 0 on.
        own: Thresholds of its task.
        learning: As of `Service`; None: it learns nothing.
    """

    def __init__(self, **limits: float) -> None:
        self.limits, self.predictor = Limits(**limits), SimpleNamespace(score_threshold=0.3)
        self.asked: list[dict[str, Any]] = []
        self.fails: dict[int, Exception] = {}
        self.own: dict[str, float] | None = None
        self.learning: Any = None

    def models(self) -> list[str]:
        return ['fixed']

    def tasks(self) -> list[str]:
        return ['shelf']

    def thresholds_of(self, task: str | None) -> dict[str, float] | None:
        return self.own if task == 'shelf' else None

    def predict(self, image: Any, **asked: Any) -> Detections:
        self.asked.append(asked)
        error = self.fails.get(len(self.asked) - 1)
        if error is not None:
            raise error
        classes = list(asked['classes'] or ('a thing',))
        width, height = image.size
        labels = np.array([*range(len(classes)), 0])
        scores = np.linspace(0.9, 0.1, len(labels)).astype(np.float32)
        boxes = np.array([[4 * i, 2 * i, 4 * i + 10, 2 * i + 8] for i in range(len(labels))],
                         np.float32)
        return Detections(boxes, scores, labels, tuple(classes), (height, width), image=image)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The address of an application that a thread serves on this machine inside the block."""
    with socket.socket() as place:
        place.bind(('127.0.0.1', 0))
        server = make_server(app)
        thread = threading.Thread(target=server.run, kwargs=dict(sockets=[place]), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), 'the server did not start'
            thread.join(0.02)
        try:
            yield f'http://127.0.0.1:{place.getsockname()[1]}'
        finally:
            server.should_exit = True
            thread.join(10)
