"""Things shown instead of named: pictures with boxes under a name that no word has to be."""
from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from glipkit.apis.batches import Pipelines, read_image
from glipkit.apis.given_boxes import check_boxes
from glipkit.apis.images import Images, list_images
from glipkit.common.boxes import box_iou
from glipkit.errors import UserError
from glipkit.text.prompts import class_prompt

#: Overlap above which two boxes are one thing.
SAME = .5


@dataclass(frozen=True, eq=False)
class Example:
    """What a name means, shown by boxes in pictures; a member of a class list like any word.

    Args:
        images: One image or several: paths, PIL images or arrays, as a predictor takes them.
        boxes: Of each image the boxes of the thing, (N, 4) xyxy pixels of the image as it is given,
            right and bottom edge exclusive; N may be 0. Every one in the image should have its box:
            what has none is taken for something else. Of a single image the boxes alone will do.
        name: What the thing is called in results: any text with a letter or a digit.
        negatives: Of each image the boxes of what looks like the thing and is not, in the same
            form; None where there are none.

    Example:
        >>> part = Example(['a.jpg', 'b.jpg'], [[[10, 20, 60, 90]], [[0, 5, 40, 80]]], 'our part')
        >>> predict('shelf.jpg', classes=['cup', part])
    """

    images: Images = field(repr=False)
    boxes: Sequence[ArrayLike] = field(repr=False)
    name: str
    negatives: Sequence[ArrayLike] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        class_prompt([self.name])


@dataclass(frozen=True, eq=False)
class ShownImage:
    """An image with what it shows.

    Args:
        pixels: (H, W, 3) uint8, BGR.
        boxes: (N, 4) float32, exclusive xyxy pixels.
        labels: (N,), indices into the names and, behind them, the negatives.
        where: Name of the image, for messages.
    """

    pixels: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    where: str


@dataclass(frozen=True, eq=False)
class ExampleSet:
    """All that is learned together.

    Args:
        names: Names of what is to be found.
        negatives: Names for what must not be found.
        images: Images with boxes, each once.
        digest: SHA-256 of all this.
    """

    names: tuple[str, ...]
    negatives: tuple[str, ...]
    images: tuple[ShownImage, ...]
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(repr((self.names, self.negatives)).encode())
        for image in self.images:
            digest.update(repr(image.pixels.shape).encode() + image.pixels.tobytes())
            digest.update(image.boxes.tobytes() + image.labels.astype(np.int64).tobytes())
        object.__setattr__(self, 'digest', digest.hexdigest())

    def images_of(self, label: int) -> list[int]:
        """Which images have a box of a label."""
        return [i for i, image in enumerate(self.images) if (image.labels == label).any()]


def read_examples(examples: Sequence[Example], pipelines: Pipelines,
                  channel_order: str = 'bgr') -> ExampleSet:
    """Reads and checks examples; boxes of equal images come together.

    Args:
        examples: One or more, with different names.
        pipelines: From `build_pipelines`.
        channel_order: Order of the channels of arrays.

    Raises:
        UserError: Something else than examples; an image that cannot be read; boxes of another
            number or shape, or outside of their image; a box that is an example and a negative; a
            name without a box, or twice.
    """
    if not isinstance(examples, (list, tuple)) or not examples \
            or not all(isinstance(example, Example) for example in examples):
        raise UserError('one glipkit.Example or a list of them', reprlib.repr(examples),
                        "pass Example(images, boxes, 'name')")
    names = tuple(example.name for example in examples)
    reader = ExampleReader(names)
    negatives: list[str] = []
    for label, example in enumerate(examples):
        sources = list_images(example.images)
        boxes = _per_image(example.boxes, len(sources), f'boxes of {example.name!r}')
        avoided: list[Any] = [()] * len(sources)
        if example.negatives is not None:
            avoided = _per_image(example.negatives, len(sources), f'negatives of {example.name!r}')
            negatives.append(f'not {example.name}')
        for source, own, others in zip(sources, boxes, avoided):
            pixels = read_image(pipelines, source, channel_order)['img']
            where = f'{source} of {example.name!r}'
            reader.add(pixels, own, label, where)
            reader.add(pixels, others, len(names) + len(negatives) - 1, f'{where}, negatives')
    return reader.finish(negatives)


class ExampleReader:
    """Gathers boxes by image, so that each image is learned from once, with all its boxes.

    Args:
        names: Names of what is to be found.

    Raises:
        UserError: A name twice, or one without a letter or digit.
    """

    def __init__(self, names: Sequence[str]) -> None:
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError('examples of different names', f'{twice!r} twice',
                            'put their images into one example')
        class_prompt(names)
        self._names = tuple(names)
        self._found: dict[str, _Gathered] = {}

    def add(self, pixels: np.ndarray, boxes: ArrayLike, labels: int | Sequence[int],
            where: str) -> None:
        """Adds boxes of an image, perhaps none.

        Args:
            pixels: (H, W, 3) uint8, BGR.
            boxes: (N, 4) exclusive xyxy pixels.
            labels: Of all or of each: an index into the names and, behind them, the negatives.
            where: Name of the image, for messages.

        Raises:
            UserError: A box of another shape, or outside of the image.
        """
        checked = check_boxes(boxes, pixels.shape[:2], where)
        own = [labels] * len(checked) if isinstance(labels, int) else labels
        entry = self._found.setdefault(_digest(pixels), _Gathered(pixels, where, [], []))
        entry.boxes.extend(checked)
        entry.labels.extend(own)

    def boxes_in(self, pixels: np.ndarray) -> str | None:
        """Name of an equal image that has a box; None where there is none."""
        entry = self._found.get(_digest(pixels))
        return entry.where if entry is not None and entry.boxes else None

    def finish(self, negatives: Sequence[str]) -> ExampleSet:
        """All examples, checked.

        Args:
            negatives: Names of the labels behind the names; one without a box is left out.

        Raises:
            UserError: A name without a box, or a box that is the thing and is not.
        """
        images = tuple(ShownImage(one.pixels, np.array(one.boxes, np.float32).reshape(-1, 4),
                                  np.array(one.labels, np.int64), one.where)
                       for one in self._found.values())
        for image in images:
            _check_apart(image, self._names)
        found = ExampleSet(self._names, tuple(negatives), images)
        for label, name in enumerate(self._names):
            if not found.images_of(label):
                raise UserError(f'a box of {name!r} in at least one image', 'none',
                                'draw one around the thing')
        kept = [i for i in range(len(negatives)) if found.images_of(len(self._names) + i)]
        return found if len(kept) == len(negatives) else _without_empty(found, kept)


@dataclass
class _Gathered:
    pixels: np.ndarray
    where: str
    boxes: list[np.ndarray]
    labels: list[int]


def _digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _check_apart(image: ShownImage, names: Sequence[str]) -> None:
    """Refuses a box that is the thing and is not."""
    wanted = image.labels < len(names)
    overlaps = box_iou(image.boxes[wanted], image.boxes[~wanted])
    if (overlaps > SAME).any():
        which = int(overlaps.max(1).argmax())
        box = ', '.join(f'{value:g}' for value in image.boxes[wanted][which])
        raise UserError('boxes that are an example or a negative',
                        f'box [{box}] of {image.where} as both '
                        f'({names[image.labels[wanted][which]]!r})', 'remove one of them')


def _without_empty(found: ExampleSet, kept: Sequence[int]) -> ExampleSet:
    """The set without the negatives that have no box."""
    names = len(found.names)
    place = {names + old: names + new for new, old in enumerate(kept)}
    images = tuple(ShownImage(image.pixels, image.boxes, np.array(
        [place.get(label, label) for label in image.labels.tolist()], np.int64), image.where)
        for image in found.images)
    return ExampleSet(found.names, tuple(found.negatives[i] for i in kept), images)


def _per_image(boxes: Any, images: int, what: str) -> list[Any]:
    """Boxes of each image; of a single image they may be given alone.

    Raises:
        UserError: Boxes for another number of images.
    """
    if hasattr(boxes, 'detach'):
        boxes = boxes.detach().cpu().numpy()
    if images == 1 and _is_plain(boxes):
        return [np.asarray(boxes, dtype=float).reshape(-1, 4)]
    if isinstance(boxes, (str, bytes, dict)) or not hasattr(boxes, '__len__'):
        raise UserError(f'{what} as a list with an array (N, 4) for each image',
                        f'{type(boxes).__name__}', 'pass [[[x1, y1, x2, y2], ...], ...]')
    if len(boxes) != images:
        raise UserError(f'{what} for each of {images} images', f'{len(boxes)}',
                        'pass one list of boxes for each image, [] for none')
    return list(boxes)


def _is_plain(boxes: Any) -> bool:
    """Whether these are boxes, not lists of boxes: one (4,) or several (N, 4)."""
    try:
        array = np.asarray(boxes, dtype=float)
    except (TypeError, ValueError):
        return False
    return array.ndim in (1, 2) and array.shape[-1] == 4 and array.size > 0
