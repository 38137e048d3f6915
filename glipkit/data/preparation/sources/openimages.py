"""OpenImages boxes (v4 to v7 and the challenges): line file with a label map, or COCO json, and
which class is a kind of which other."""
from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from glipkit.data.formats.reading import read_json
from glipkit.data.preparation import (
    Preparation,
    Step,
    stream_json,
    stream_lines,
)
from glipkit.data.preparation.detection import BoxBuilder, Detections, image_record
from glipkit.data.preparation.detection_output import add_layout, write_set
from glipkit.errors import UserError

EXAMPLES = """examples:
  glipkit prepare openimages --boxes oidv6-train-annotations-bbox.csv \\
      --classes class-descriptions-boxable.csv --hierarchy bbox_labels_600_hierarchy.json \\
      --images data/openimages/train --out data/openimages
  glipkit prepare openimages --boxes oidv6-train-annotations-bbox.csv \\
      --classes class-descriptions-boxable.csv --sizes sizes.csv --layout coco \\
      --image-labels train-annotations-human-imagelabels-boxable.csv --out data/openimages
  glipkit prepare openimages --split val --boxes validation-annotations-bbox.csv \\
      --classes class-descriptions-boxable.csv --sizes sizes.csv --out data/openimages"""

BOX_COLUMNS = ('ImageID', 'LabelName', 'XMin', 'XMax', 'YMin', 'YMax', 'IsGroupOf')
LABEL_COLUMNS = ('ImageID', 'LabelName', 'Confidence')
SIZE_COLUMNS = ('ImageID', 'Width', 'Height')


def prepare(options: argparse.Namespace) -> Preparation:
    """Writes ``annotations/openimages_{split}`` and ``openimages_class_relations.json``."""
    training = options.split == 'train'
    layout = options.layout if training else 'coco'
    if options.image_labels and layout != 'coco':
        raise UserError('--layout coco with --image-labels', f'--layout {layout}',
                        'lines have no place for absent classes')
    prep = Preparation(options.out, 'openimages', redo=options.redo)
    classes = read_classes(options.classes)
    if options.hierarchy:
        with prep.step('annotations/openimages_class_relations.json',
                       [options.classes, options.hierarchy]) as step:
            if not step.done:
                relations = class_relations(read_hierarchy(options.hierarchy), classes)
                step.count('classes', len(relations))
                step.write_json(relations)
    sizes = options.sizes or write_sizes(prep, Path(options.images), options.split)
    write_set(prep, f'annotations/openimages_{options.split}',
              [options.boxes, options.classes, sizes,
               *([options.image_labels] if options.image_labels else [])], {},
              lambda step: read_set(step, options, classes, sizes), layout, clean=training)
    return prep


def read_set(step: Step, options: argparse.Namespace, classes: Mapping[str, str],
             sizes: str | Path) -> Detections:
    """All boxes; with image labels also what the images are known to lack."""
    numbers: dict[str, int] = {}
    detections = read_boxes(step, options.boxes, classes, read_sizes(sizes), numbers)
    if not options.image_labels:
        return detections
    absent = read_absent(step, options.image_labels, classes, numbers)
    return with_absent(detections, absent)


def read_classes(path: str) -> dict[str, str]:
    """Machine id -> name, in the order of a class-descriptions csv, with or without a header.

    Raises:
        UserError: The file is damaged or has no classes.
    """
    what = 'a class-descriptions csv with lines /m/011k07,Tortoise'
    rows = list(csv.reader(line for _, line in stream_lines(path, what)))
    classes = {row[0]: row[1].strip() for row in rows if len(row) >= 2 and row[0][:1] == '/'}
    if not classes:
        raise UserError(what, f'{path} without such a line', 'check that this is the right file')
    return classes


def read_hierarchy(path: str) -> Mapping[str, Any]:
    """The tree of bbox_labels_600_hierarchy.json, by machine ids.

    Raises:
        UserError: The file is damaged or is another one.
    """
    tree = read_json(path, 'an OpenImages hierarchy json')
    if not isinstance(tree, dict) or 'LabelName' not in tree or 'Subcategory' not in tree:
        raise UserError("a hierarchy json with 'LabelName' and 'Subcategory'", str(path),
                        'check that this is the right file')
    return tree


def class_relations(tree: Mapping[str, Any],
                    classes: Mapping[str, str]) -> dict[str, dict[str, list[str]]]:
    """Which classes must not count as absent where a class is present.

    Only the most specific name of an object is annotated: where there is a 'Dog', 'Animal' is
    there too, without a box. What is a 'Part' of a class (wheel of a car) is not a kind of it.

    Args:
        tree: Tree from `read_hierarchy`. A class may occur in it more than once.
        classes: Machine id -> name; others (the root) are left out.

    Returns:
        Name -> sorted names of its ``ancestors`` and its ``descendants``.
    """
    ancestors: dict[str, set[str]] = {name: set() for name in classes.values()}
    stack: list[tuple[Mapping[str, Any], frozenset[str]]] = [(tree, frozenset())]
    while stack:
        node, above = stack.pop()
        name = classes.get(node.get('LabelName', ''))
        if name is not None:
            ancestors[name] |= above
            above |= {name}
        stack += [(child, above) for child in node.get('Subcategory', ())]
        # Parts have kinds of their own, but are no kinds of the whole.
        stack += [(part, frozenset()) for part in node.get('Part', ())]
    descendants: dict[str, set[str]] = {name: set() for name in ancestors}
    for name, above in ancestors.items():
        for other in above:
            descendants[other].add(name)
    return {name: dict(ancestors=sorted(ancestors[name] - {name}),
                       descendants=sorted(descendants[name] - {name})) for name in ancestors}


def write_sizes(prep: Preparation, folder: Path, split: str) -> Path:
    """The step that reads the sizes of all jpg files of a folder; returns its output.

    Raises:
        UserError: There is no such folder, or no image in it.
    """
    name = f'{split}_image_sizes.json'
    with prep.step(name, [folder]) as step:
        if not step.done:
            paths = sorted(folder.glob('*.jpg'))
            if not paths:
                raise UserError('a folder of jpg files', f'none in {folder}', 'check --images')
            step.write_json({'sizes': _sizes(step, paths)})
    return prep.path(name)


def _sizes(step: Step, paths: Sequence[Path]) -> Iterator[list]:
    # Reading a header is waiting for the disk, mostly.
    with ThreadPoolExecutor(16) as pool:
        for path, size in zip(
                paths, step.track(pool.map(_size, paths), 'image', len(paths)), strict=True):
            if size is None:
                step.drop('unreadable images', path.name)
            else:
                step.count('images')
                yield [path.stem, *size]


def _size(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, Image.DecompressionBombError):
        return None


def read_sizes(path: str | Path) -> dict[str, tuple[int, int]]:
    """Image id -> (width, height), of a csv with `SIZE_COLUMNS` or of `write_sizes`."""
    if str(path).endswith('.json'):
        rows = (size for _, size in stream_json(path, 'image sizes'))
    else:
        what = f'a csv of image sizes with the columns {", ".join(SIZE_COLUMNS)}'
        rows = _columns(stream_lines(path, what), path, what, SIZE_COLUMNS)
    try:
        return {image_id: (int(width), int(height)) for image_id, width, height in rows}
    except ValueError as error:
        raise UserError('image sizes in whole pixels', f'{path}: {error}', 'correct it') from error


def read_boxes(step: Step, path: str, classes: Mapping[str, str],
               sizes: Mapping[str, tuple[int, int]], numbers: dict[str, int]) -> Detections:
    """A box csv, in pixels; boxes around groups are crowds.

    Args:
        step: Shows the bar, counts what is dropped.
        path: The csv. Rows of an image need not be neighbours.
        classes: Machine id -> name; category ids are their ranks from 1.
        sizes: Image id -> (width, height).
        numbers: Filled here: image id -> id of the image in the output.

    Raises:
        UserError: A column is missing, or a number is none.
    """
    what = f'a box csv with the columns {", ".join(BOX_COLUMNS)}'
    category_ids = {key: rank for rank, key in enumerate(classes, start=1)}
    images: dict[int, dict[str, Any]] = {}
    boxes = BoxBuilder()
    rows = _columns(step.read_lines(path, what), path, what, BOX_COLUMNS)
    for line, (key, label, *edges, group) in enumerate(rows, start=2):
        category_id = category_ids.get(label)
        if category_id is None:
            step.drop('boxes of classes not listed', f'line {line} ({label})')
            continue
        if key not in sizes:
            step.drop('boxes of images of unknown size', f'line {line} ({key})')
            continue
        width, height = sizes[key]
        if key not in numbers:
            numbers[key] = len(numbers) + 1
            images[numbers[key]] = image_record(f'{key}.jpg', dict(width=width, height=height),
                                                f'{path}:{line}')
        try:
            x1, x2, y1, y2 = map(float, edges)
        except ValueError as error:
            raise UserError(what, f'{path}:{line}: {error}', 'repair the line') from error
        boxes.add(numbers[key], category_id,
                  (x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height), group == '1')
    if not images:
        raise UserError('boxes of listed classes in images of known size', f'none in {path}',
                        'check that --boxes, --classes and the image sizes belong together')
    categories = [dict(id=category_ids[key], name=name, machine_id=key)
                  for key, name in classes.items()]
    return Detections(images, categories, boxes.build())


def read_absent(step: Step, path: str, classes: Mapping[str, str],
                numbers: Mapping[str, int]) -> dict[int, set[int]]:
    """Number of an image -> category ids that people looked for and did not find.

    Args:
        step: Shows the bar.
        path: The csv of human-verified image labels; confidence 0 means absent.
        classes: See `read_boxes`.
        numbers: Image id -> number; other images are left out.
    """
    what = f'a csv of image labels with the columns {", ".join(LABEL_COLUMNS)}'
    category_ids = {key: rank for rank, key in enumerate(classes, start=1)}
    absent: dict[int, set[int]] = {}
    for key, label, confidence in _columns(step.read_lines(path, what), path, what, LABEL_COLUMNS):
        if key in numbers and label in category_ids and confidence in ('0', '0.0'):
            absent.setdefault(numbers[key], set()).add(category_ids[label])
    return absent


def with_absent(detections: Detections, absent: Mapping[int, set[int]]) -> Detections:
    """With ``neg_category_ids`` and ``not_exhaustive_category_ids`` as LVIS has them.

    OpenImages is annotated like LVIS: a class that nobody looked for may be in any image. Where a
    box surrounds a group, not every object has a box of its own.
    """
    boxes = detections.boxes
    present: dict[int, set[int]] = {}
    groups: dict[int, set[int]] = {}
    for image_id, category_id, crowd in zip(boxes.image_ids.tolist(), boxes.category_ids.tolist(),
                                            boxes.crowds.tolist(), strict=True):
        present.setdefault(image_id, set()).add(category_id)
        if crowd:
            groups.setdefault(image_id, set()).add(category_id)
    images = {
        i: {**image,
            'neg_category_ids': sorted(absent.get(i, set()) - present.get(i, set())),
            'not_exhaustive_category_ids': sorted(groups.get(i, set()))}
        for i, image in detections.images.items()
    }
    return replace(detections, images=images)


def _columns(lines: Iterator[tuple[int, str]], path: str | Path, what: str,
             names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The named columns of a csv, row by row."""
    rows = csv.reader(line for _, line in lines)
    header = next(rows, [])
    missing = [name for name in names if name not in header]
    if missing:
        raise UserError(what, f'{path} without {", ".join(missing)}',
                        'check that this is the right file')
    places = [header.index(name) for name in names]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise UserError(f'{len(header)} columns in every line', f'{path}:{number}: {len(row)}',
                            'repair the file or copy it again')
        yield tuple(row[place] for place in places)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this source."""
    parser.add_argument('--boxes', required=True, metavar='FILE', help='csv of boxes')
    parser.add_argument('--classes', required=True, metavar='FILE', help='class-descriptions csv')
    parser.add_argument('--hierarchy', metavar='FILE',
                        help='json tree of classes; writes which class is a kind of which')
    parser.add_argument('--image-labels', metavar='FILE',
                        help='csv of human-verified image labels; the COCO json then tells for '
                        'every image what it lacks, as LVIS does')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train',
                        help='val and test keep every box and become COCO json '
                        '(default: %(default)s)')
    sizes = parser.add_mutually_exclusive_group(required=True)
    sizes.add_argument('--sizes', metavar='FILE', help=f'csv with {", ".join(SIZE_COLUMNS)}')
    sizes.add_argument('--images', metavar='DIR', help='folder of the jpg files to read sizes from')
    add_layout(parser)
