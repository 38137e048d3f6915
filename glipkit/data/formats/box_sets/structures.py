"""What every reader of this room gives: images with boxes, and what could not be read."""
from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from PIL import Image

from glipkit.common.image_files import is_image_file
from glipkit.errors import UserError

Part = TypeVar('Part')

#: Words for the parts of a data set in names of folders and files.
SPLITS = {'train': 'train', 'training': 'train', 'val': 'val', 'valid': 'val', 'validation': 'val',
          'dev': 'val', 'test': 'test', 'testing': 'test'}
_ORIENTATION, _ON_ITS_SIDE = 0x0112, range(5, 9)


class Problem(NamedTuple):
    """Something that cannot be read as it stands.

    Args:
        kind: A kind of `glipkit.data.checking.findings`.
        where: The place: file and, where there are lines, line.
        what: What stands there.
    """
    kind: str
    where: str
    what: Any


class Box(NamedTuple):
    """One thing: key of its class, x, y, width, height in pixels, its place, whether to ignore it.

    The right and bottom edge are exclusive; nothing is cut at the image's edges.
    """
    key: Hashable
    xywh: list[float]
    where: str
    ignore: bool = False


@dataclass
class BoxedImage:
    """One image.

    Args:
        path: Path of its file, be it there or not.
        where: Place of its record.
        size: Width and height as the pipelines see it, turned upright; None where nobody knows.
        boxes: Its boxes in the order of the file.
    """
    path: Path
    where: str
    size: tuple[int | None, int | None] = (None, None)
    boxes: list[Box] = field(default_factory=list)


@dataclass
class BoxSet:
    """One part of a data set.

    Args:
        form: Name of the format.
        source: What was read, for messages.
        root: Folder that names of images begin at.
        images: The images.
        problems: What was left out, and what is good to know.
    """
    form: str
    source: Path
    root: Path
    images: list[BoxedImage] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def note(self, kind: str, where: str, what: Any) -> None:
        """Adds a problem."""
        self.problems.append(Problem(kind, where, what))


@dataclass(frozen=True)
class DataSet:
    """All parts of a data set.

    Args:
        form: Name of the format.
        parts: ``'train'``, ``'val'``, ``'test'``, those that there are -> its images.
        classes: Key of a class -> its name, in the order of labels; the same for all parts. Whole
            numbers are the category ids too, other keys get 1, 2, ...
    """
    form: str
    parts: Mapping[str, BoxSet]
    classes: Mapping[Hashable, Any]


def classes_by_name(parts: Mapping[str, BoxSet]) -> dict[Hashable, str]:
    """The classes of a format without a list of them: all names of all parts, sorted."""
    names = {box.key for part in parts.values() for image in part.images for box in image.boxes}
    return {name: name for name in sorted(names)}


def coco_content(data: DataSet, part: str) -> tuple[dict[str, list], dict[str, list[str]]]:
    """One part as the content of a COCO json.

    Images stand in the order of their names, compared letter by letter, with ids from 1; boxes
    stand in the order of their image's file. So the same data give the same content, and the same
    training, whichever format they come in.

    Args:
        data: The data set.
        part: Key of its parts.

    Returns:
        ``images``, ``annotations``, ``categories``; and the places of the first two.
    """
    own = data.parts[part]
    ids = {key: key if type(key) is int else number
           for number, key in enumerate(data.classes, start=1)}
    named = sorted((name_of(image.path, own.root), i) for i, image in enumerate(own.images))
    images, annotations = [], []
    places: dict[str, list[str]] = {'images': [], 'annotations': []}
    for number, (name, i) in enumerate(named, start=1):
        image = own.images[i]
        sizes = {key: side for key, side in zip(('width', 'height'), image.size)
                 if side is not None}
        images.append(dict(id=number, file_name=name, **sizes))
        places['images'].append(image.where)
        for box in image.boxes:
            annotations.append(dict(
                id=len(annotations) + 1, image_id=number, category_id=ids[box.key], bbox=box.xywh,
                area=box.xywh[2] * box.xywh[3], iscrowd=int(box.ignore)))
            places['annotations'].append(box.where)
    categories = [dict(id=ids[key], name=name) for key, name in data.classes.items()]
    return dict(images=images, annotations=annotations, categories=categories), places


def name_of(path: Path, root: Path) -> str:
    """Name of an image from a folder on, with ``/``; the whole path of one that is elsewhere."""
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height of an image file as the pipelines see it: turned upright by its EXIF tag.

    None where it cannot be opened; the pixels are not read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with Image.open(path) as image:
                width, height = image.size
                turned = image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
    except Exception:  # decoders answer damaged files with almost any type of error
        return None
    return (height, width) if turned else (width, height)


def files_below(folder: Path, suffix: str | None = None) -> list[Path]:
    """Files of a folder and those inside it, in the order of their names.

    Folders that are linked to are looked into, each once. Hidden ones and what macOS leaves beside
    files are left out.

    Args:
        folder: The folder.
        suffix: Ending in lower case, ``'.xml'``; None takes images.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for place, inside, names in os.walk(folder, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            inside.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        inside[:] = sorted(name for name in inside
                           if not name.startswith('.') and name != '__MACOSX')
        paths = (Path(place, name) for name in names if not name.startswith('.'))
        found += (path for path in paths if (
            is_image_file(path) if suffix is None else path.suffix.lower() == suffix))
    return sorted(found, key=lambda path: path.as_posix())


def split_of(name: str) -> str | None:
    """The part that a name speaks of: ``'instances_train2017'`` -> ``'train'``; None for none."""
    words = ''.join(c if c.isalpha() else ' ' for c in name.lower()).split()
    found = {SPLITS[word] for word in words if word in SPLITS}
    return found.pop() if len(found) == 1 else None


def part_folders(root: Path) -> dict[str, Path]:
    """``'train'``, ``'val'``, ``'test'`` -> the folder directly in ``root`` that is called so."""
    found: dict[str, Path] = {}
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.is_dir() and path.name.lower() in SPLITS:
            found.setdefault(SPLITS[path.name.lower()], path)
    return in_order(found)


def in_order(parts: Mapping[str, Part]) -> dict[str, Part]:
    """Parts with those for training first, then validation, then test."""
    usual = list(dict.fromkeys(SPLITS.values()))
    return dict(sorted(parts.items(), key=lambda item: usual.index(item[0])
                       if item[0] in usual else len(usual)))


def read_text(path: Path, what: str) -> str:
    """A text file in UTF-8, with or without a byte order mark.

    Raises:
        UserError: It cannot be read, or is in another encoding.
    """
    try:
        return path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else 'not UTF-8'
        raise UserError(what, f'{path} ({reason})', 'check the file') from error


class ImageFinder:
    """Finds the image that an annotation file names.

    Args:
        root: Folder of the data set.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, name: str, beside: Path) -> Path:
        """The path of an image; one that is not there where none is.

        Args:
            name: What the file says, perhaps with folders, of whatever system.
            beside: The annotation file. An image of its own stem will do.
        """
        name = name.replace('\\', '/').replace('\0', '')
        last = name.rpartition('/')[2]
        folder = beside.parent
        tried = [folder / name, self.root / name, folder / last] if last else []
        for path in tried:
            if path.is_file():
                return path
        if self._by_name is None:
            self._by_name = {}
            for path in files_below(self.root):
                self._by_name.setdefault(path.name, []).append(path)
                self._by_name.setdefault(path.stem + '/', []).append(path)
        for key in (last, beside.stem + '/'):
            found = self._by_name.get(key, [])
            near = [path for path in found if _same_part(path, beside, self.root)]
            if len(near or found) == 1:
                return (near or found)[0]
        return tried[0] if tried else folder / beside.stem


def _same_part(image: Path, file: Path, root: Path) -> bool:
    """Whether the folders of two files differ in one name at most: JPEGImages, Annotations."""
    one, other = (path.relative_to(root).parent.parts if root in path.parents else (str(path), )
                  for path in (image, file))
    return len(one) == len(other) and sum(a != b for a, b in zip(one, other)) <= 1


def iterate_parts(root: Path, suffix: str) -> Iterator[tuple[str, list[Path]]]:
    """The parts that folders tell, with their files; all files as ``'train'`` without folders."""
    folders = {part: files_below(folder, suffix) for part, folder in part_folders(root).items()}
    if any(folders.values()):
        yield from ((part, files) for part, files in folders.items() if files)
    elif files := files_below(root, suffix):
        yield 'train', files
