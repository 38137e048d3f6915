"""Data sets of the library ``datasets``: a column of images, and one of objects in them."""
from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from glipkit.common.reporter import track
from glipkit.data.formats.box_sets.structures import (
    SPLITS,
    Box,
    BoxedImage,
    BoxSet,
    DataSet,
    image_size,
)
from glipkit.data.formats.reading import as_box
from glipkit.errors import UserError
from glipkit.files import make_folder, write_encoded

#: Beginning of a name on the hub: ``hf:owner/name``.
PREFIX = 'hf:'
BOX_FORMATS = ('xywh', 'xyxy', 'yolo')
_CLASS_KEYS = ('category', 'categories', 'label', 'labels', 'category_id', 'class', 'classes')
_BOX_KEYS = ('bbox', 'bboxes', 'boxes', 'box')
_SUFFIXES = ((b'\xff\xd8', '.jpg'), (b'\x89PNG', '.png'), (b'GIF8', '.gif'), (b'BM', '.bmp'),
             (b'RIFF', '.webp'))


def is_saved(root: Path) -> bool:
    """Whether ``save_to_disk`` has written a folder."""
    return (root / 'dataset_dict.json').is_file() or \
        (root / 'dataset_info.json').is_file() and (root / 'state.json').is_file()


def read_hub_data(name: str, folder: Path, box_format: str = 'xywh') -> DataSet:
    """Reads a data set, and writes its images as files.

    Args:
        name: A folder that ``save_to_disk`` has written, or ``hf:owner/name``.
        folder: Folder for the images.
        box_format: ``'xywh'`` (pixels, as COCO), ``'xyxy'`` (pixels), or ``'yolo'`` (centre and
            sides, in parts of the image).

    Raises:
        UserError: No such data set, or none with boxes.
    """
    if box_format not in BOX_FORMATS:
        raise UserError(f'one of {", ".join(BOX_FORMATS)} as --box-format', repr(box_format),
                        'choose one')
    splits = _load(name)
    parts, classes = {}, {}
    for split, rows in splits.items():
        part = SPLITS.get(split.lower(), split)
        columns = _Columns(rows, name)
        classes = columns.names or classes
        parts[part] = BoxSet('datasets', Path(name), folder)
        for number, row in enumerate(track(columns.rows(), f'reading {split}', len(rows), 'image')):
            image = _write_image(row[columns.image], folder / split, number)
            _add(parts[part], image, row[columns.objects], columns, f'{split}[{number}]',
                 box_format)
    if not classes:
        texts = {box.key for part in parts.values() for image in part.images
                 for box in image.boxes if isinstance(box.key, str)}
        classes = {text: text for text in sorted(texts)}
    if not classes:
        raise UserError('classes with names', f'{name}, whose classes are numbers without names',
                        'cast the column to ClassLabel(names=[...]) and save it again')
    return DataSet('datasets', parts, classes)


def _load(name: str) -> Mapping[str, Any]:
    try:
        import datasets
    except ImportError as error:
        raise UserError('the package datasets', 'none installed',
                        "pip install 'glipkit[datasets]'") from error
    try:
        if name.startswith(PREFIX):
            loaded = datasets.load_dataset(name.removeprefix(PREFIX))
        else:
            loaded = datasets.load_from_disk(name)
    except Exception as error:  # the library answers what is missing with many types of error
        raise UserError('a data set that datasets can load',
                        f'{name} ({" ".join(str(error).split())[:200]})',
                        'check the name and the network') from error
    return loaded if isinstance(loaded, Mapping) else {'train': loaded}


class _Columns:
    """The columns of a split that hold images and objects.

    Args:
        rows: The split.
        name: Name of the data set, for errors.
    """

    def __init__(self, rows: Any, name: str) -> None:
        import datasets
        features = rows.features
        self._rows = rows
        images = [key for key, kind in features.items() if isinstance(kind, datasets.Image)]
        objects = [key for key, kind in features.items() if self._inside(kind) is not None]
        if not images or not objects:
            raise UserError('a column of images, and one of objects with bbox and category',
                            f'{name} with {", ".join(features)}', 'rename its columns')
        self.image = images[0]
        self.objects = 'objects' if 'objects' in objects else objects[0]
        inside = self._inside(features[self.objects])
        self.box = next(key for key in _BOX_KEYS if key in inside)
        self.label = next(key for key in _CLASS_KEYS if key in inside)
        kind = inside[self.label]
        kind = getattr(kind, 'feature', kind)
        names = getattr(kind, 'names', None)
        self.names: dict[int, str] = dict(enumerate(names)) if names else {}

    @staticmethod
    def _inside(kind: Any) -> Mapping[str, Any] | None:
        """Fields of a column of objects, however it is nested; None for another column."""
        kind = getattr(kind, 'feature', kind)
        kind = kind[0] if isinstance(kind, list) and kind else kind
        good = isinstance(kind, Mapping) and any(k in kind for k in _BOX_KEYS) and any(
            k in kind for k in _CLASS_KEYS)
        return kind if good else None

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Rows with images as bytes or paths."""
        import datasets
        return iter(self._rows.cast_column(self.image, datasets.Image(decode=False)))


def _write_image(cell: Mapping[str, Any] | None, folder: Path, number: int) -> Path:
    """The image as a file: its own where the data set names one, else written."""
    cell = cell or {}
    if cell.get('bytes') is None:
        return Path(cell.get('path') or folder / f'{number:08d}')
    content = cell['bytes']
    suffix = next((suffix for magic, suffix in _SUFFIXES if content.startswith(magic)), '.jpg')
    digest = hashlib.sha256(content).hexdigest()[:12]
    path = folder / f'{number:08d}-{digest}{suffix}'
    if not path.is_file():
        make_folder(folder)
        write_encoded(path, lambda file: file.write(content))
    return path


def _add(own: BoxSet, path: Path, objects: Any, columns: _Columns, where: str,
         box_format: str) -> None:
    size = image_size(path)
    image = BoxedImage(path, where, size or (None, None))
    own.images.append(image)
    if isinstance(objects, Mapping):  # lists of values
        pairs = zip(objects[columns.box] or [], objects[columns.label] or [])
    else:
        pairs = ((one[columns.box], one[columns.label]) for one in objects or [])
    for number, (raw, key) in enumerate(pairs):
        place = f'{where}: objects[{number}]'
        try:
            values = as_box(list(raw), place, '')
        except (TypeError, UserError):
            own.note('bad_box', place, raw)
            continue
        if key is None or columns.names and key not in columns.names:
            own.note('unknown_category', place, f'class {key!r}')
        elif box_format == 'yolo' and size is None:
            own.note('unmeasured_image', place, path)
        else:
            image.boxes.append(Box(key, _to_xywh(values, box_format, size), place))


def _to_xywh(values: list[float], box_format: str, size: tuple[int, int] | None) -> list[float]:
    a, b, c, d = values
    if box_format == 'xyxy':
        return [a, b, c - a, d - b]
    if box_format == 'yolo':
        width, height = size
        return [(a - c / 2) * width, (b - d / 2) * height, c * width, d * height]
    return values
