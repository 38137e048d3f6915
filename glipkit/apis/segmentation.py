"""A class for every pixel of an image, from a model with a dense map."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from glipkit.apis.arguments import check_channel_order
from glipkit.apis.asking import Classes, TakesNames
from glipkit.apis.batches import Prepared, collect_image
from glipkit.apis.detections import open_picture
from glipkit.apis.images import Images, ImageSource, list_images, to_bgr
from glipkit.apis.regions import ready
from glipkit.common.reporter import track
from glipkit.data.transforms.loading import LoadImage
from glipkit.errors import UserError
from glipkit.models.alignment.cell_maps import pixel_labels, pixel_probabilities
from glipkit.models.contract import GroundingDetector
from glipkit.models.detectors.dense_words import cell_rates, window_logits
from glipkit.text.query import Query
from glipkit.text.templates import find_templates

#: Share of the picture from which on :meth:`Segmentation.plot` writes the name of a class.
NAMED_FROM = .01


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The class of every pixel of one image: ``label_map, probabilities = predict.segment(...)``.

    Args:
        label_map: (H, W) int32, indices into ``classes``.
        classes: K class names or phrases that were asked for.
        logits: (K, h, w) float32, cosines over the temperature, of the cells of the model's map.
        rates: Cells per pixel, down and across.
        path: Of the image; None when it was passed as pixels.
        image: What :meth:`plot` draws on: a path, an RGB or grey array, or a PIL image.
    """

    label_map: np.ndarray
    classes: tuple[str, ...]
    logits: np.ndarray = field(repr=False)
    rates: tuple[float, float]
    path: Path | None = None
    image: Any = field(default=None, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image, in pixels."""
        return self.label_map.shape

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(K, H, W) float32, which sum to 1 over the classes; made when first asked for.

        As large as K grey images of floats: for many classes take :meth:`probability`.
        """
        return pixel_probabilities(torch.from_numpy(self.logits), self.size, self.rates).numpy()

    def probability(self, name: str) -> np.ndarray:
        """(H, W) float32 of one class, without those of the others in memory.

        Raises:
            UserError: A class that was not asked for.
        """
        if name not in self.classes:
            raise UserError(f'one of the {len(self.classes)} classes asked for', repr(name),
                            'spell it as in the call')
        one, step = self.classes.index(name), 64
        height, width = self.size
        found = np.empty(self.size, np.float32)
        logits = torch.from_numpy(self.logits)
        for top in range(0, height, step):
            rows = min(step, height - top)
            found[top:top + rows] = pixel_probabilities(
                logits, (rows, width), self.rates, top=top)[one].numpy()
        return found

    def __iter__(self) -> Iterator[np.ndarray]:
        """The label map, then the probabilities."""
        yield self.label_map
        yield self.probabilities

    def shares(self) -> dict[str, float]:
        """Share of the image of each class that is there, the largest first."""
        counts = np.bincount(self.label_map.ravel(), minlength=len(self.classes))
        order = np.argsort(-counts, kind='stable')
        return {self.classes[i]: float(counts[i] / self.label_map.size) for i in order if counts[i]}

    def label_image(self) -> Image.Image:
        """The label map as a grey picture of 8 bits, or of 16 for more than 255 classes."""
        deep = len(self.classes) > 255
        return Image.fromarray(self.label_map.astype(np.uint16 if deep else np.uint8))

    def plot(self, image: Any = None, opacity: float = .55) -> Image.Image:
        """The image under the colours of the classes, with their names.

        Args:
            image: Image to draw on instead of the own one: path, PIL image or RGB array.
            opacity: Of the colours, from 0 to 1.

        Returns:
            A new RGB picture; ``.save(path)`` writes it, a notebook shows it.
        """
        scene = open_picture(self.image if image is None else image)
        return draw_labels(scene, self.label_map, self.classes, opacity)


def draw_labels(scene: Image.Image, label_map: np.ndarray, classes: tuple[str, ...],
                opacity: float = .55) -> Image.Image:
    """A picture under the colours of a label map, with names where a class has most room.

    Args:
        scene: RGB picture.
        label_map: (H, W) whole numbers; the picture shows where they are below 0.
        classes: Names that they index.
        opacity: Of the colours, from 0 to 1.

    Raises:
        UserError: Picture and map differ in size.
    """
    import cv2
    import supervision
    height, width = label_map.shape
    if scene.size != (width, height):
        raise UserError(f'a picture of {width} x {height} pixels, as the label map',
                        f'{scene.size[0]} x {scene.size[1]}', 'pass the image that was segmented')
    palette = supervision.ColorPalette.DEFAULT
    present = [i for i in np.unique(label_map).tolist() if i >= 0]
    pixels = np.asarray(scene, np.float32).copy()
    boxes, labels = [], []
    for i in present:
        inside = label_map == i
        pixels[inside] += opacity * (np.float32(palette.by_idx(i).as_rgb()) - pixels[inside])
        if inside.mean() >= NAMED_FROM:
            # The border of the picture bounds a class too: a name in a corner would be cut off.
            depth = cv2.distanceTransform(np.pad(inside, 1).astype(np.uint8), cv2.DIST_L2, 3)
            y, x = np.unravel_index(depth[1:-1, 1:-1].argmax(), inside.shape)
            boxes.append([x, y, x + 1, y + 1])
            labels.append(i)
    scene = Image.fromarray(pixels.round().astype(np.uint8))
    if not labels:
        return scene
    found = supervision.Detections(xyxy=np.float32(boxes), class_id=np.asarray(labels))
    font = max(10, round(24 * supervision.calculate_optimal_text_scale((width, height))))
    writer = supervision.RichLabelAnnotator(
        font_size=font, text_padding=max(2, font // 4),
        text_position=supervision.Position.CENTER)
    return writer.annotate(scene, found, [classes[i] for i in labels])


class Segmenter(TakesNames):
    """The part of `Predictor` that asks for pixels."""

    def segment(self, image: str | Path | np.ndarray | Image.Image,
                classes: Classes | None = None, *, long_side: int | None = None,
                window: int | str | None = None, overlap: float = .5,
                templates: str | Sequence[str] = (), task: str | Path | None = None,
                channel_order: str | None = None) -> Segmentation:
        """Which class each pixel of one image has, from the dense map of a model that has one.

        Args:
            image: A path, a PIL image or a numpy array.
            classes: K names in an order; None takes those of `set_classes` or of the task. Every
                pixel gets one of them, so name what may be behind
                things too ('sky', 'wall').
            long_side: Pixels of the image's longer side in the model; None takes what the config
                says. Small things need more.
            window: Side in pixels of windows that slide over the image in the model, and whose
                cosines are averaged; ``'native'`` for what the tower began with. None takes the
                whole image, or for a ``long_side`` above the config's windows of that size.
            overlap: Share of a window that the next one covers too.
            templates: As in `classify`.
            task: As in a call.
            channel_order: As in a call.

        Returns:
            ``label_map`` (H, W) of the image as it is given; ``probabilities`` (K, H, W), made when
            asked for.

        Raises:
            UserError: As in `classify`, or a model without a dense map.
        """
        query, model, order = self._ask_pixels(classes, templates, task, channel_order)
        item = self._one(image, query, order)
        with self.computing():
            return segment_image(model, item, query, long_side, window, overlap)

    def stream_segments(self, images: Images, classes: Classes | None = None, *,
                        long_side: int | None = None, window: int | str | None = None,
                        overlap: float = .5, templates: str | Sequence[str] = (),
                        task: str | Path | None = None, channel_order: str | None = None,
                        skip: Callable[[ImageSource, UserError], None] | None = None
                        ) -> Iterator[Segmentation]:
        """As `segment`, for many images, each as soon as it is there, and none kept.

        Shows through the current reporter how many images are done.

        Args:
            images: As in a call.
            classes: As in `segment`, like all that follow but the last.
            long_side: As in `segment`.
            window: As in `segment`.
            overlap: As in `segment`.
            templates: As in `segment`.
            task: As in `segment`.
            channel_order: As in `segment`.
            skip: Called with each image that cannot be read, and why; it is left out then. None
                raises instead.

        Raises:
            UserError: As in `segment`.
        """
        query, model, order = self._ask_pixels(classes, templates, task, channel_order)
        sources = list_images(images)
        for source in track(sources, 'segmenting', len(sources), 'image'):
            try:
                item = self.prepare(source, query, (), order)
            except UserError as error:
                if skip is None:
                    raise
                skip(source, error)
                continue
            with self.computing():
                found = segment_image(model, item, query, long_side, window, overlap)
            yield found

    def _ask_pixels(self, classes: Classes | None, templates: str | Sequence[str],
                    task: str | Path | None, channel_order: str | None
                    ) -> tuple[Query, GroundingDetector, str]:
        """The question of a call, who answers, and the order of channels."""
        query, _, model = self._asked_names(classes, task)
        if query.negatives or query.exclusive:
            raise UserError('classes and their other names', 'negative_classes or exclusive groups',
                            'make each a class: every pixel gets one')
        if templates:
            query = replace(query, templates=find_templates(templates))
        model.dense_grid()
        model.prompts(query)
        return query, model, check_channel_order(channel_order or self.channel_order)


def segment_image(model: GroundingDetector, item: Prepared, query: Query,
                  long_side: int | None = None, window: int | str | None = None,
                  overlap: float = .5) -> Segmentation:
    """The class of every pixel of a prepared image; arguments as in `Predictor.segment`."""
    names = model.label_names(query)
    if not names:
        raise UserError('at least one class', 'none', 'name what may be in the image')
    size = tuple(item.packed['data_samples'].ori_shape[:2])
    inputs, _, _ = ready(model, item)
    if long_side is not None:
        if window is None and long_side > max(inputs.shape[-2:]):
            window = max(inputs.shape[-2:])
        inputs = _at_size(model, item, size, long_side)
    with torch.no_grad():
        logits = window_logits(model, inputs, query, window, overlap).float()
        rates = cell_rates(model, inputs, size)
        labels = pixel_labels(logits, size, rates)
    return Segmentation(labels.cpu().numpy(), names, logits.cpu().numpy(), rates,
                        item.source.path, collect_image(item))


def _at_size(model: GroundingDetector, item: Prepared, size: tuple[int, int],
             long_side: int) -> Tensor:
    """The image (1, 3, H, W), normalised, with a longer side of so many pixels."""
    smallest = model.dense_grid().cell
    if isinstance(long_side, bool) or not isinstance(long_side, int) or long_side < smallest:
        raise UserError(f'a long_side of at least {smallest} pixels, one cell', repr(long_side),
                        'enlarge it')
    if item.source.path is None:
        image = to_bgr(item.source, item.channel_order)
    else:
        image = LoadImage()({'img_path': str(item.source.path)})['img']
    height, width = (max(round(side * long_side / max(size)), smallest) for side in size)
    image = mmcv.imresize(image, (width, height), interpolation='bicubic', backend='pillow')
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return model.data_preprocessor(dict(inputs=[pixels]), False)['inputs']
