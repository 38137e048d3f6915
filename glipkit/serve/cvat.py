"""A function for CVAT's automatic annotation that asks a running ``glipkit serve``.

CVAT runs it by its own command line, in CVAT's own environment: this file needs cvat-sdk and
nothing of glipkit, and may be copied there::

    cvat-cli task auto-annotate 12 --function-file cvat.py -p classes=str:"cup, mug"
"""
from __future__ import annotations

import base64
import csv
import io
import json
import os
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

QUALITY = 95  # of the JPEG that is sent; frames of CVAT are JPEGs already


class Function:
    """Finds rectangles with the names of CVAT's labels.

    Args:
        classes: Names of labels, commas between them; one in double quotes may hold commas.
        task: Name of a task of the server, whose classes are found instead.
        url: Address of the server.
        token: Its token; default the variable GLIPKIT_TOKEN.
        threshold: Lowest score, where CVAT sends none; below 0 the server's own.
        timeout: Seconds for one image.

    Raises:
        RuntimeError: Neither classes nor a task, or the server refuses or cannot be reached.
    """

    def __init__(self, classes: str = '', task: str = '', url: str = 'http://127.0.0.1:8000',
                 token: str = '', threshold: float = -1., timeout: float = 120.) -> None:
        import cvat_sdk.auto_annotation as cvat
        self._cvat, self._url, self._timeout = cvat, url.rstrip('/'), timeout
        self._token = token or os.environ.get('GLIPKIT_TOKEN', '')
        self._task, self._threshold = task, threshold
        self._names = next(csv.reader([classes], skipinitialspace=True), [])
        self._names = [name.strip() for name in self._names if name.strip()]
        if bool(self._names) == bool(task):
            raise RuntimeError('expected classes or a task; pass -p classes=str:"cup, mug" or '
                               '-p task=str:NAME')
        if task:
            self._names = self._classes_of(task)
        self.spec = cvat.DetectionFunctionSpec(labels=[
            cvat.label_spec(name, number, type='rectangle')
            for number, name in enumerate(self._names)])

    def detect(self, context: Any, image: Image.Image) -> list[Any]:
        """Rectangles in one frame, in pixels."""
        stream = io.BytesIO()
        image.convert('RGB').save(stream, 'JPEG', quality=QUALITY, subsampling=0)
        asked: dict[str, Any] = {'image': base64.b64encode(stream.getvalue()).decode()}
        asked |= {'task': self._task} if self._task else {'classes': self._names}
        threshold = context.conf_threshold
        if threshold is None and self._threshold >= 0:
            threshold = self._threshold
        if threshold is not None:
            asked['score_threshold'] = threshold
        number = {name: i for i, name in enumerate(self._names)}
        rectangles = []
        for row in self._ask('/predict', asked)['annotations']:
            x, y, width, height = row['bbox']
            rectangles.append(self._cvat.rectangle(number[row['category_name']],
                                                   [x, y, x + width, y + height]))
        return rectangles

    def _classes_of(self, task: str) -> list[str]:
        tasks = {one['name']: one['classes'] for one in self._ask('/tasks')['tasks']}
        if task not in tasks:
            raise RuntimeError(f'expected a task of the server ({", ".join(tasks) or "none"}); '
                               f'got {task!r}; choose one of these')
        return tasks[task]

    def _ask(self, path: str, body: Any = None) -> Any:
        headers = {'Content-Type': 'application/json'}
        if self._token:
            headers['Authorization'] = f'Bearer {self._token}'
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f'glipkit serve: {error.read().decode(errors="replace")[:500]}') \
                from error
        except OSError as error:
            raise RuntimeError(f'expected glipkit serve at {self._url}; got {error}; start it, or '
                               'pass -p url=str:ADDRESS') from error


create = Function
