"""Pascal VOC: an xml file per image; pixels count from 1, the last one of a box is inside."""
from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from glipkit.common.reporter import track
from glipkit.data.formats.box_sets.structures import (
    Box,
    BoxedImage,
    BoxSet,
    DataSet,
    ImageFinder,
    classes_by_name,
    image_size,
    in_order,
    iterate_parts,
    name_of,
    read_text,
)
from glipkit.errors import UserError

_SIDES = ('xmin', 'ymin', 'xmax', 'ymax')


def read_voc(root: Path) -> DataSet:
    """Reads all xml files of a folder and those inside it.

    ``ImageSets/Main/train.txt``, ``val.txt`` and ``test.txt`` tell the parts, of the folder or of
    those inside it (``VOCdevkit/VOC2007``); else folders called so; else all is for training.
    Objects marked as difficult are to be ignored.
    """
    finder, parts = ImageFinder(root), {}
    for part, files in _parts(root):
        own = parts[part] = BoxSet('voc', root, root)
        for path in track(files, 'reading annotations', unit='file'):
            image = _read(own, path, finder)
            if image is not None:
                own.images.append(image)
    return DataSet('voc', parts, classes_by_name(parts))


def is_voc(path: Path) -> bool:
    """Whether an xml file is an annotation of this format, by its beginning."""
    try:
        with path.open('rb') as file:
            return b'<annotation' in file.read(1024)
    except OSError:
        return False


def _parts(root: Path) -> Iterator[tuple[str, list[Path]]]:
    files: dict[str, list[Path]] = {}
    for home in (root, *sorted(root.glob('*/')), *sorted(root.glob('*/*/'))):
        for part, path in _lists(home / 'ImageSets' / 'Main').items():
            words = (line.split() for line in read_text(path, 'a list of images').splitlines())
            files.setdefault(part, []).extend(
                home / 'Annotations' / f'{line[0]}.xml' for line in words if line)
    yield from in_order(files).items() if files else iterate_parts(root, '.xml')


def _lists(folder: Path) -> dict[str, Path]:
    """Part -> its list; ``trainval.txt`` is for training where it is not divided."""
    lists = {part: path for part in ('train', 'val', 'test')
             if (path := folder / f'{part}.txt').is_file()}
    both = folder / 'trainval.txt'
    return lists if 'train' in lists or 'val' in lists or not both.is_file() else \
        {'train': both, **lists}


def _read(own: BoxSet, path: Path, finder: ImageFinder) -> BoxedImage | None:
    place = name_of(path, own.root)
    try:
        text = path.read_bytes()
        # Refuses entities and references to other files.
        root = fromstring(text)
    except OSError as error:
        own.note('broken_record', place, error.strerror)
        return None
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        own.note('broken_record', place, ' '.join(str(error).split()))
        return None
    named = (root.findtext('filename') or '').strip()
    if root.tag != 'annotation':
        own.note('broken_record', place, f'<{root.tag}> instead of <annotation>')
        return None
    folder = (root.findtext('folder') or '').strip()
    image_path = finder.find(f'{folder}/{named}' if folder and (
        finder.root / folder / named).is_file() else named, path)
    image = BoxedImage(image_path, place, _size(root, image_path))
    lines = [text.count(b'\n', 0, found.start()) + 1
             for found in re.finditer(rb'<object[\s>]', text)]
    objects = root.findall('object')
    for number, one in enumerate(objects):
        where = f'{place}:{lines[number]}' if len(lines) == len(objects) else \
            f'{place}: object {number + 1}'
        box = _box(own, one, where)
        if box is not None:
            image.boxes.append(box)
    return image


def _size(root: Element, image: Path) -> tuple[int | None, int | None]:
    sides = []
    for key in ('width', 'height'):
        try:
            sides.append(int(float(root.findtext(f'size/{key}') or '')))
        except (ValueError, OverflowError):
            sides.append(0)
    if min(sides) > 0:
        return sides[0], sides[1]
    return image_size(image) or (None, None)


def _box(own: BoxSet, one: Element, where: str) -> Box | None:
    name = (one.findtext('name') or '').strip()
    texts: list[Any] = [one.findtext(f'bndbox/{side}') for side in _SIDES]
    if not name or None in texts:
        lacks = 'name' if not name else f'bndbox/{_SIDES[texts.index(None)]}'
        own.note('broken_record', where, f'an object without {lacks}')
        return None
    try:
        x1, y1, x2, y2 = map(float, texts)
    except ValueError:
        x1 = y1 = x2 = y2 = math.nan
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        own.note('bad_box', where, texts)
        return None
    # The first pixel is 1, and the last one of the box is inside: its far edge is its number.
    return Box(name, [x1 - 1, y1 - 1, x2 - (x1 - 1), y2 - (y1 - 1)], where,
               (one.findtext('difficult') or '').strip() == '1')


def check_parts(data: DataSet) -> None:
    """Refuses a data set without a single annotation that could be read.

    Raises:
        UserError: With the first of them.
    """
    if any(part.images for part in data.parts.values()):
        return
    problems = [problem for part in data.parts.values() for problem in part.problems]
    first = f'{problems[0].where}: {problems[0].what}' if problems else 'nothing'
    raise UserError(f'annotations of the format {data.form}', first, 'correct the files')
