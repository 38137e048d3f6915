"""What a detector found in one image, and the formats other programs read."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from glipkit.apis.drawing import draw
from glipkit.apis.images import to_rgb
from glipkit.common.boxes import one_per_object
from glipkit.errors import UserError

if TYPE_CHECKING:
    import fiftyone
    import pandas
    import supervision


class Detection(NamedTuple):
    """One thing that was found: its box (4,) xyxy in pixels, its score, its label, its name."""

    box: np.ndarray
    score: float
    label: int
    name: str


@dataclass(frozen=True, eq=False)
class Detections:
    """Everything found in one image, best first.

    Iterating gives :class:`Detection` rows; a slice, a mask or an array of indices gives the
    Detections of these rows.

    Args:
        boxes: (N, 4) float32 xyxy, absolute pixels of the original image, right and bottom edge
            exclusive: a box is ``x2 - x1`` wide.
        scores: (N,) float32, 0 to 1.
        labels: (N,) int64, indices into ``classes``.
        classes: The class names or phrases that were asked for.
        size: (height, width) of the image, in pixels.
        path: Of the image; None when it was passed as pixels.
        image: What :meth:`plot` draws on: a path, an RGB or grey array, or a PIL image.
        category_ids: Category id of each class, where a task file tells them; else None.
        image_id: Place of the image in the call, from 0.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    size: tuple[int, int]
    path: Path | None = None
    image: Any = field(default=None, repr=False)
    category_ids: tuple[int, ...] | None = None
    image_id: int = 0

    @property
    def names(self) -> list[str]:
        """The string that was asked for, for each detection."""
        return [self.classes[label] for label in self.labels]

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        for box, score, label in zip(self.boxes, self.scores, self.labels):
            yield Detection(box, float(score), int(label), self.classes[label])

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray) -> Any:
        if isinstance(index, (int, np.integer)):
            return list(self)[index]
        if not isinstance(index, slice):
            index = np.asarray(index)
            index = index if index.size else index.astype(int)
        return replace(self, boxes=self.boxes[index], scores=self.scores[index],
                       labels=self.labels[index])

    def one_per_object(self, overlap: float = 0.5) -> Detections:
        """One label per object: of detections that are on one object, the best, whatever its class.

        Detections are on one object where their boxes overlap more than `overlap`. So of two things
        that truly cover each other so far, a rider and a horse that are seen from the front, one is
        lost.

        Args:
            overlap: Largest intersection over union of two boxes that both stay.
        """
        return self[one_per_object(self.boxes, self.scores, overlap)]

    def to_supervision(self) -> supervision.Detections:
        """``supervision.Detections``, with the names as ``data['class_name']``."""
        import supervision
        return supervision.Detections(
            xyxy=self.boxes.copy(), confidence=self.scores.copy(),
            class_id=self.labels.astype(int), data={'class_name': np.array(self.names, dtype=str)})

    def to_pandas(self) -> pandas.DataFrame:
        """A row per detection: image, x1_px, y1_px, x2_px, y2_px, score, label, name.

        Raises:
            UserError: Without the package pandas.
        """
        try:
            import pandas
        except ImportError as error:
            raise UserError('the package pandas for to_pandas()', 'none installed',
                            'pip install pandas') from error
        # Column by column, so that an empty table has the types of a full one.
        image = '' if self.path is None else str(self.path)
        columns = ([image] * len(self), *self.boxes.astype(float).T, self.scores.astype(float),
                   self.labels, self.names)
        frame = pandas.DataFrame(dict(zip(ROW_KEYS, columns)))
        return frame.astype({'image': str, 'name': str})

    def to_rows(self) -> list[dict[str, Any]]:
        """A plain dictionary per detection, with the keys of :meth:`to_pandas`."""
        image = '' if self.path is None else str(self.path)
        return [dict(zip(ROW_KEYS, (image, *map(float, box), score, label, name)))
                for box, score, label, name in self]

    def to_coco(self, image_id: int | None = None,
                category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """COCO's results format: ``bbox`` is x, y, width, height in pixels.

        Args:
            image_id: Id of this image in the annotation file; None takes its place in the call,
                from 0.
            category_ids: The category id of each class; None takes those of the task file, and
                without a task the labels themselves.

        Returns:
            Dictionaries ready for ``json.dump`` and ``COCO.loadRes``.
        """
        if image_id is None:
            image_id = self.image_id
        if category_ids is None:
            category_ids = self.category_ids
        if category_ids is not None and len(category_ids) != len(self.classes):
            raise UserError(f'{len(self.classes)} category ids, one per class',
                            str(len(category_ids)), 'pass one id for each class')
        results = []
        for (x1, y1, x2, y2), score, label, _ in self:
            category = label if category_ids is None else int(category_ids[label])
            box = [float(x1), float(y1), float(x2 - x1), float(y2 - y1)]
            results.append({'image_id': image_id, 'category_id': category, 'bbox': box,
                            'score': score})
        return results

    def to_yolo(self, scores: bool = False) -> str:
        """YOLO's text: ``label centre_x centre_y width height`` in parts of the image's size.

        Args:
            scores: Whether a sixth column holds the score, as in files of predictions.

        Returns:
            A line per detection; the empty string when nothing was found.
        """
        height, width = self.size
        lines = []
        for (x1, y1, x2, y2), score, label, _ in self:
            values = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width,
                      (y2 - y1) / height)
            numbers = [*values, score] if scores else values
            lines.append(' '.join([str(label), *(f'{number:.6f}' for number in numbers)]))
        return ''.join(line + '\n' for line in lines)

    def to_labelme(self) -> dict[str, Any]:
        """The content of a labelme file, rectangles in pixels, to be written beside the image."""
        shapes = [{'label': name, 'points': [[float(x1), float(y1)], [float(x2), float(y2)]],
                   'group_id': None, 'description': f'{score:.4f}', 'shape_type': 'rectangle',
                   'flags': {}} for (x1, y1, x2, y2), score, _, name in self]
        return {'version': '5.5.0', 'flags': {}, 'shapes': shapes,
                'imagePath': '' if self.path is None else self.path.name, 'imageData': None,
                'imageHeight': self.size[0], 'imageWidth': self.size[1]}

    def to_fiftyone(self) -> fiftyone.Detections:
        """``fiftyone.Detections``, for ``sample['glipkit'] = found.to_fiftyone()``.

        Boxes are x, y, width, height in parts of the image's size, cut at its edges.

        Raises:
            UserError: Without the package fiftyone.
        """
        try:
            import fiftyone
        except ImportError as error:
            raise UserError('the package fiftyone for to_fiftyone()', 'none installed',
                            'pip install fiftyone') from error
        height, width = self.size
        boxes = np.clip(self.boxes.astype(float) / [width, height, width, height], 0, 1)
        return fiftyone.Detections(detections=[
            fiftyone.Detection(label=name, confidence=score,
                               bounding_box=[x1, y1, x2 - x1, y2 - y1])
            for (x1, y1, x2, y2), (_, score, _, name) in zip(boxes.tolist(), self)])

    def plot(self, image: Any = None) -> Image.Image:
        """The image with boxes, names and scores; the best on top, names apart where there is room.

        Args:
            image: Image to draw on instead of the own one: path, PIL image or RGB array.

        Returns:
            A new RGB picture; ``.save(path)`` writes it, a notebook shows it.
        """
        scene = open_picture(self.image if image is None else image)
        return draw(scene, self.to_supervision()) if len(self) else scene


def open_picture(image: Any) -> Image.Image:
    """A copy of what is drawn on, in RGB: a path, a PIL image or an RGB array.

    Raises:
        UserError: There is none, or it cannot be read.
    """
    if image is None:
        raise UserError('an image to draw on', 'none', 'pass it: plot(image)')
    if isinstance(image, np.ndarray):
        image = Image.fromarray(np.ascontiguousarray(image))
    elif not isinstance(image, Image.Image):
        try:
            image = Image.open(image)
        except OSError as error:
            raise UserError('an image to draw on', f'{image} ({error})',
                            'pass it: plot(image)') from error
    return to_rgb(image, 'the image').copy()


ROW_KEYS = ('image', 'x1_px', 'y1_px', 'x2_px', 'y2_px', 'score', 'label', 'name')
