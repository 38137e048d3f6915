"""YOLO: ``data.yaml`` with names and folders, a text file of boxes beside each image."""
from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from glipkit.common.image_files import is_image_file
from glipkit.common.reporter import track
from glipkit.data.formats.box_sets.structures import (
    SPLITS,
    Box,
    BoxedImage,
    BoxSet,
    DataSet,
    files_below,
    image_size,
    part_folders,
    read_text,
)
from glipkit.errors import UserError

WHAT = "a YOLO data.yaml with 'names' and the folders 'train' and 'val'"
#: Lists of names, a name a line, that labelling tools write where there is no data.yaml.
NAME_LISTS = ('classes.txt', 'obj.names', 'labels.txt')
#: Of a pixel: a corner this close to a whole one, within the rounding of the file, is that one.
_CLOSE = 0.05


def read_yolo(path: Path) -> DataSet:
    """Reads a data set.

    Labels are found by the rule of the format: the last folder ``images`` of an image's path
    becomes ``labels``; else beside the image. An image without a file has no boxes.

    Args:
        path: The yaml file, or a list of names in a folder with ``images``.

    Raises:
        UserError: No names, or no image.
    """
    if path.name in NAME_LISTS:
        names = [line.strip() for line in read_text(path, 'a list of names').splitlines()]
        content: dict[str, Any] = {'names': [name for name in names if name]}
        listed = _folders_without_yaml(path.parent)
        root = path.parent.parent if path.parent.name == 'labels' else path.parent
    else:
        content = read_yaml(path)
        root = path.parent
        listed = {part: content[key] for key, part in SPLITS.items() if content.get(key)}
    classes, missing, parts = class_names(content.get('names'), path), [], {}
    points = _values_of_points(content.get('kpt_shape'))
    for part, places in listed.items():
        images = _images(places, path.parent, content.get('path'))
        if images is None:
            missing.append((part, places))
            continue
        parts[part] = BoxSet('yolo', path, root)
        _read_part(parts[part], images, classes, points)
    if not any(part.images for part in parts.values()):
        tried = ', '.join(f'{part}: {place}' for part, place in missing) or 'no folder'
        raise UserError(f'{WHAT}, in which there are images', f'{path} ({tried})',
                        "correct 'path', 'train' and 'val', which count from the file's folder")
    for part, place in missing:
        next(iter(parts.values())).note('missing_part', str(path), f'{part}: {place}')
    return DataSet('yolo', parts, classes)


def read_yaml(path: Path, what: str = WHAT) -> dict[str, Any]:
    """The content of a yaml file.

    Args:
        path: The file.
        what: What it should be, for messages.

    Raises:
        UserError: It is no yaml, holds no mapping, or a key twice, of which one would be lost.
    """
    try:
        content = yaml.load(read_text(path, what), _Texts)
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(what, f'{path} ({" ".join(str(error).split())[:200]})',
                        'correct the file') from error
    if not isinstance(content, dict):
        raise UserError(what, f'{path} with {type(content).__name__}', 'correct the file')
    return content


class _Texts(yaml.BaseLoader):
    """Reads every value as the text that stands there: a class may be called no, or 1.0.

    References to other parts are refused: a few lines of them can stand for endless text.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As every loader's."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError('references (*name) are not read')
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        """As every loader's, of keys that differ."""
        found = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            keys = [self.construct_object(key) for key, _ in node.value]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise yaml.YAMLError(f'{twice!r} stands there twice')
        return found


def class_names(names: Any, path: Path) -> dict[int, str]:
    """Label -> name, of a list or of a mapping of numbers.

    Raises:
        UserError: It is neither.
    """
    pairs = list(enumerate(names)) if isinstance(names, list) else \
        list(names.items()) if isinstance(names, dict) else []
    try:
        found = {int(label): name for label, name in pairs if isinstance(name, str)}
    except ValueError:
        found = {}
    if not found or len(found) < len(pairs):
        raise UserError("'names' as a list, or as numbers with names",
                        f'{path} with {str(names)[:80]!r}', 'write e.g. names: [dog, cat]')
    return dict(sorted(found.items()))


def _folders_without_yaml(folder: Path) -> dict[str, str]:
    """Folders of images beside a list of names."""
    root = folder.parent if folder.name == 'labels' else folder
    for place in (root / 'images', root):
        parts = part_folders(place)
        if parts:
            return {part: str(found) for part, found in parts.items()}
    return {'train': str(root / 'images' if (root / 'images').is_dir() else root)}


def _images(places: Any, folder: Path, base: Any) -> list[Path] | None:
    """The images of one part; None where a place is missing."""
    found: dict[Path, None] = {}
    for place in places if isinstance(places, list) else [places]:
        path = _existing(str(place), folder, base)
        if path is None:
            return None
        found.update(dict.fromkeys(_in_place(path)))
    return list(found)


def _existing(place: str, folder: Path, base: Any) -> Path | None:
    """A folder or list that the yaml names: from ``path`` on, else from the yaml on."""
    place = place.replace('\\', '/')
    bases = [folder / str(base)] if base else []
    for start in (*bases, folder):
        # Exports write ../train/images for a folder that lies beside the file.
        for name in (place, place.removeprefix('../')):
            if (start / name).exists():
                return start / name
    return None


def _in_place(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from files_below(path)
    elif path.suffix.lower() == '.txt':
        for line in read_text(path, 'a list of images').splitlines():
            name = line.strip().replace('\\', '/')
            if name:
                yield path.parent / (name[2:] if name.startswith('./') else name)
    elif is_image_file(path):
        yield path


def _label_file(image: Path) -> Path:
    parts = image.parent.parts
    if 'images' in parts:
        last = len(parts) - 1 - parts[::-1].index('images')
        found = Path(*parts[:last], 'labels', *parts[last + 1:], f'{image.stem}.txt')
        if found.is_file() or found.parent.is_dir():
            return found
    return image.with_suffix('.txt')


def _read_part(own: BoxSet, images: list[Path], classes: dict[int, str], points: int) -> None:
    used: set[Path] = set()
    for path in track(images, 'reading labels', unit='image'):
        labels, size = _label_file(path), image_size(path)
        where = _short(path, own.root)
        image = BoxedImage(path, where, size or (None, None))
        own.images.append(image)
        used.add(labels)
        if not labels.is_file():
            own.note('no_label_file', where, _short(labels, own.root))
        elif size is None:
            if path.is_file():  # a missing one is told by whoever looks for it
                own.note('unmeasured_image', where, f'boxes of {_short(labels, own.root)}')
        else:
            image.boxes += _read_boxes(own, labels, size, classes, points)
    folders = sorted({path.parent for path in used if path.parent.is_dir()})
    for folder in folders:
        for path in sorted(folder.glob('*.txt')):
            if path not in used and path.name not in NAME_LISTS and folder.name != 'images':
                own.note('orphan', _short(path, own.root), 'no image of this name')


def _read_boxes(own: BoxSet, path: Path, size: tuple[int, int], classes: dict[int, str],
                points: int) -> Iterator[Box]:
    place = _short(path, own.root)
    try:
        lines = read_text(path, 'a label file').splitlines()
    except UserError as error:
        own.note('broken_record', place, error.got)
        return
    for number, line in enumerate(lines, start=1):
        where, values = f'{place}:{number}', line.split()
        if not values:
            continue
        try:
            label = float(values[0])
            numbers = [float(value) for value in values[1:]]
        except ValueError:
            own.note('bad_line', where, line)
            continue
        box = _box(numbers, values[1:], size, points)
        if box is None:
            own.note('bad_columns', where, f'{len(values)} columns: {line[:60]}')
        elif not all(map(math.isfinite, box)):
            own.note('bad_box', where, line)
        elif label not in classes:
            own.note('unknown_category', where, f'class {values[0]}')
        else:
            if len(numbers) > 5 and len(numbers) != 4 + points:
                own.note('outline', where, f'{len(numbers) // 2} corners')
            yield Box(int(label), box, where)


def _box(numbers: list[float], texts: list[str], size: tuple[int, int], points: int
         ) -> list[float] | None:
    """x, y, width, height in pixels; None for a line that is neither box nor outline.

    Five numbers are a box and its score, 4 + ``points`` a box and its key points, six or more the
    corners of an outline.
    """
    width, height = size
    if len(numbers) in (4, 5) or points and len(numbers) == 4 + points:
        x, y, w, h = numbers[:4]
        corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
    elif len(numbers) >= 6:
        pairs = numbers[:len(numbers) // 2 * 2]
        corners = [min(pairs[::2]), min(pairs[1::2]), max(pairs[::2]), max(pairs[1::2])]
    else:
        return None
    decimals = max(17 if 'e' in text.lower() else len(text.partition('.')[2])
                   for text in texts[:len(numbers)])
    x1, y1, x2, y2 = (_whole(value * side, 0.75 * side * 10. ** -decimals)
                      for value, side in zip(corners, (width, height) * 2))
    return [x1, y1, x2 - x1, y2 - y1]


def _whole(value: float, rounding: float) -> float:
    """The whole pixel that a value comes from, where the digits of the file leave it open."""
    if not math.isfinite(value):
        return value
    near = float(round(value))
    return near if abs(value - near) <= min(rounding, _CLOSE) else value


def _values_of_points(shape: Any) -> int:
    try:
        points, values = map(int, shape)
    except (TypeError, ValueError):
        return 0
    return points * values


def _short(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if root in path.parents else str(path)
