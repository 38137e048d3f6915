"""An exported model that is called as a predictor is."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from glipkit.apis.arguments import Shown, check_channel_order
from glipkit.apis.detections import Detections
from glipkit.apis.given_boxes import check_boxes
from glipkit.apis.images import ImageSource, list_images, to_bgr, to_rgb, unreadable
from glipkit.common.boxes import grid_boxes
from glipkit.errors import UserError
from glipkit.runtime.description import Description
from glipkit.runtime.engines import open_engine
from glipkit.runtime.preparing import Input, prepare
from glipkit.runtime.rules import Found, detections, in_original, settled
from glipkit.runtime.words import Words


def load(path: str | Path, words: str | Path | None = None, threads: int | None = None) -> Model:
    """An exported model, ready to be called.

    Args:
        path: File that ``glipkit export`` wrote, ``.onnx`` or ``.xml``.
        words: File of words (``.npz``), for a model that takes them as an input; None takes the one
            of the same name beside the model.
        threads: Threads of the processor; None for the runtime's own choice.

    Raises:
        UserError: A file that cannot be used, or a package that is missing.
    """
    return Model(path, words, threads)


class Model:
    """Finds things in images by the names that it was exported with; several threads may call it.

    For the arguments see :func:`load`.

    Attributes:
        about: What the file says of itself.
        classes: Names in the order of their labels.
    """

    def __init__(self, path: str | Path, words: str | Path | None = None,
                 threads: int | None = None) -> None:
        path = Path(path)
        self._run = open_engine(path, threads)
        self.about = Description.from_json(self._run.metadata, path)
        self._words: Words | None = None
        if self.about.words:
            self.set_words(path.with_suffix('.npz') if words is None else words)
        elif words is not None:
            raise UserError('words only for a model that takes them as an input',
                            f'{path}, which has its own', 'leave them out')

    @property
    def classes(self) -> tuple[str, ...]:
        return self.about.classes if self._words is None else self._words.classes

    def set_words(self, path: str | Path) -> None:
        """Other words for a model that takes them as an input.

        Raises:
            UserError: A damaged file, or words of another model.
        """
        found = Words.read(path)
        if found.weights != self.about.weights:
            raise UserError(f'words of this model ({self.about.weights[:12]})',
                            f'{path}, made with other weights ({found.weights[:12]})',
                            'make them with the model that was exported')
        self._words = found

    def __call__(self, image: str | Path | np.ndarray | Image.Image,
                 score_threshold: float | None = None, *, boxes: ArrayLike | None = None,
                 channel_order: str = 'bgr', per_object: str = 'one') -> Detections:
        """Detections of one image.

        Args:
            image: A path, a PIL image, or an array (H, W, 3) or (H, W), uint8.
            score_threshold: Lowest score that is returned, of a calibrated task lowest probability;
                None takes the model's own, or those of the task's classes.
            boxes: (N, 4) xyxy pixels of the image, for a model that scores given boxes; None takes
                a grid, where the model was made with one.
            channel_order: Order of the channels of arrays, ``'bgr'`` or ``'rgb'``.
            per_object: ``'one'`` for one label per object, ``'all'`` for every label of it.

        Raises:
            UserError: An image that cannot be read, or an argument that cannot be used.
        """
        default, known = self.about.score_threshold, self.about.calibration
        shown = Shown(default if score_threshold is None else score_threshold, per_object, known,
                      known is not None and score_threshold is None)
        source, pixels = _read(image, check_channel_order(channel_order))
        item = prepare(pixels, self.about.image, self.about.size,
                       self.about.rules.get('fill', 'mean'))
        size = pixels.shape[:2]
        if boxes is not None:
            boxes = check_boxes(boxes, size, str(source))
        found = in_original(self._detect(item, boxes), self.about.rules, item.scale, size)
        exclusive = (self.about if self._words is None else self._words).exclusive
        found = settled(found, len(self.classes), exclusive, self.about.learned, self.about.avoided)
        return shown.choose(Detections(
            boxes=found.boxes.reshape(-1, 4), scores=found.scores,
            labels=found.labels.astype(np.int64), classes=self.classes, size=size,
            path=source.path, image=source.path or np.ascontiguousarray(pixels[..., ::-1]),
            category_ids=self.about.category_ids))

    def raw(self, tensor: np.ndarray, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs of the graph for a tensor (1, 3, H, W) that is prepared, by name."""
        words = {} if self._words is None else self._words.tensors
        given = {name: words[name] for name in self.about.words}
        return self._run({'image': tensor, **inputs, **given})

    def _detect(self, item: Input, boxes: np.ndarray | None) -> Found:
        rules, inputs = self.about.rules, {}
        if rules['kind'] == 'regions':
            inputs['regions'] = self._regions(item, boxes)
        elif boxes is not None:
            raise UserError('boxes only for a model that scores given ones',
                            f'{self.about.model}, which finds its own', 'leave them out')
        if self.about.suppressed:
            inputs['image_size'] = np.array(item.size, np.int64)
        outputs = self.raw(item.tensor, **inputs)
        if self.about.suppressed:
            return Found(outputs['boxes'], outputs['scores'], outputs['labels'])
        starts = self.about.starts if self._words is None else self._words.starts
        return detections(outputs, rules, starts, item.size)

    def _regions(self, item: Input, boxes: np.ndarray | None) -> np.ndarray:
        """Boxes (N, 4) float32 in the graph's image."""
        if boxes is not None:
            return boxes * np.array([*item.scale, *item.scale], np.float32)
        if 'grid' not in self.about.rules:
            raise UserError('boxes to score', 'none',
                            'pass boxes=..., from any program that finds boxes')
        return grid_boxes(*item.size, **self.about.rules['grid'])


def _read(image: Any, channel_order: str) -> tuple[ImageSource, np.ndarray]:
    """An image and its pixels (H, W, 3), BGR."""
    sources = list_images(image)
    if len(sources) != 1:
        raise UserError('one image', f'{len(sources)}', 'call it for each of them')
    source, = sources
    if source.path is None:
        return source, to_bgr(source, channel_order)
    try:
        with Image.open(source.path) as file:
            return source, np.ascontiguousarray(np.asarray(to_rgb(file, source))[..., ::-1])
    except OSError as error:
        raise unreadable(source, error) from error
