"""Examples on disk: a data set in any layout, or a COCO json, whose classes become names."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glipkit.apis.batches import Pipelines, read_image
from glipkit.apis.data_sets import AnnotatedImages, one_part
from glipkit.apis.examples import ExampleReader, ExampleSet
from glipkit.apis.images import ImageSource, list_images
from glipkit.common.boxes import to_xyxy
from glipkit.common.image_files import is_image_file
from glipkit.common.reporter import note
from glipkit.data.formats.coco_json import CocoJson, read_coco_json
from glipkit.errors import UserError


@dataclass(frozen=True)
class ExampleFiles:
    """Where examples are.

    Args:
        examples: A COCO json, or a folder in a layout that `open_data` knows.
        images: Images of a COCO json; None for where they usually are.
        negatives: The same for what must not be found; or a folder of images alone, in which
            nothing is to be found. None for no negatives.
        negative_images: Images of ``negatives``, as ``images``.
        name: Name instead of that of the only class.
        box_format: As in `open_data`.
    """

    examples: Path
    images: Path | None = None
    negatives: Path | None = None
    negative_images: Path | None = None
    name: str | None = None
    box_format: str = 'xywh'


def read_example_files(files: ExampleFiles, pipelines: Pipelines
                       ) -> tuple[ExampleSet, dict[str, int]]:
    """The examples of files, and the category id of each name.

    Raises:
        UserError: No data set, classes without a box, several classes and one name, a box outside
            its image, or one that is an example and a negative.
    """
    data = _data(files.examples, files.images, files.box_format)
    coco = read_coco_json(data.ann_file)
    used = {record['category_id'] for record in _boxed(coco)}
    ids = {name: number for number, name in coco.real_classes.items() if number in used}
    if not ids:
        raise UserError('examples with a box', f'none in {files.examples}',
                        'draw one around each thing')
    if files.name is not None:
        if len(ids) > 1:
            raise UserError('one class, for --name', f'{", ".join(ids)} in {files.examples}',
                            'leave --name out: the classes are the names')
        ids = {files.name: next(iter(ids.values()))}
    names = tuple(ids)
    reader = ExampleReader(names)
    _add(reader, coco, data.images, {number: names.index(name) for name, number in ids.items()},
         pipelines)
    negatives: tuple[str, ...] = ()
    if files.negatives is not None:
        negatives = _add_negatives(reader, files, len(names), pipelines)
    found = reader.finish(negatives)
    for number, name in coco.real_classes.items():
        if number not in used:
            note(f'{name!r} has no box in {files.examples} and is not learned')
    return found, ids


def _boxed(coco: CocoJson) -> list[dict]:
    """Annotations but crowds; one outside its image is refused where it is read, not left out."""
    return [record for record in coco.annotations if not record['iscrowd']]


def _data(path: Path, images: Path | None, box_format: str) -> AnnotatedImages:
    if images is not None:
        return AnnotatedImages(path, images)
    return one_part(path, ('train', 'val', 'test'), box_format, need_boxes=True)


def _add(reader: ExampleReader, coco: CocoJson, folder: Path, label_of: Mapping[int, int],
         pipelines: Pipelines) -> None:
    """Adds the boxes of a file; images without a box are there to show what is not meant."""
    boxes: dict[int, list[tuple[list[float], int]]] = {number: [] for number in coco.images}
    for record in _boxed(coco):
        if record['category_id'] in label_of:
            boxes[record['image_id']].append((record['bbox'], label_of[record['category_id']]))
    for position, (number, record) in enumerate(coco.images.items()):
        source = ImageSource(folder / record['file_name'], None, position)
        pixels = read_image(pipelines, source, 'bgr')['img']
        own = boxes[number]
        reader.add(pixels, to_xyxy(np.array([box for box, _ in own], float).reshape(-1, 4)),
                   [label for _, label in own], str(source))


def _add_negatives(reader: ExampleReader, files: ExampleFiles, names: int,
                   pipelines: Pipelines) -> tuple[str, ...]:
    """Adds what must not be found; returns a name for each kind of it."""
    path = files.negatives
    if files.negative_images is None and _holds_images_alone(path):
        _add_bare(reader, list_images(path), pipelines)
        return ()
    data = _data(path, files.negative_images, files.box_format)
    coco = read_coco_json(data.ann_file)
    used = {record['category_id'] for record in _boxed(coco)}
    kinds = [number for number in coco.real_classes if number in used]
    if not kinds:
        raise UserError('negatives with a box around each', f'none in {path}',
                        'draw them, or pass a folder of images in which nothing is to be found')
    _add(reader, coco, data.images, {number: names + i for i, number in enumerate(kinds)},
         pipelines)
    return tuple(f'not {coco.real_classes[number]}' for number in kinds)


def _holds_images_alone(path: Path) -> bool:
    """Whether a folder holds images and no annotations."""
    files = [one for one in path.rglob('*') if one.is_file() and not one.name.startswith('.')]
    return bool(files) and all(map(is_image_file, files))


def _add_bare(reader: ExampleReader, sources: Sequence[ImageSource],
              pipelines: Pipelines) -> None:
    """Adds images in which nothing is to be found.

    Raises:
        UserError: One in which there is an example.
    """
    for source in sources:
        pixels = read_image(pipelines, source, 'bgr')['img']
        if (shown := reader.boxes_in(pixels)) is not None:
            raise UserError('negatives in which nothing is to be found',
                            f'{source}, which is {shown} among the examples',
                            'take it out of one of them, or box what is not meant in it')
        reader.add(pixels, np.zeros((0, 4)), [], str(source))
