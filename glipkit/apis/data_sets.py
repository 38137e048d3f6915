"""Data sets in any layout as COCO files and folders of images, which everything else reads."""
from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from glipkit.common.paths import weights_folder
from glipkit.data.checking import DataFile, PromptSettings
from glipkit.data.checking.findings import KINDS
from glipkit.data.formats.box_sets.coco_folder import images_of
from glipkit.data.formats.box_sets.find import Found, find_data_set, read_boxes
from glipkit.data.formats.box_sets.hub_data import PREFIX, read_hub_data
from glipkit.data.formats.box_sets.structures import DataSet, coco_content
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.errors import UserError
from glipkit.files import can_be_made, cannot_write, write_text


@dataclass(frozen=True)
class AnnotatedImages:
    """A COCO json (for replay also a grounding jsonl) and the folder of its images."""
    ann_file: Path
    images: Path


@dataclass(frozen=True)
class OpenedData:
    """A data set as COCO files.

    Args:
        parts: ``'train'``, ``'val'``, ``'test'``, those that there are.
        notes: What was recognised and what is left out, in sentences.
    """
    parts: Mapping[str, AnnotatedImages]
    notes: tuple[str, ...]


def open_data(path: str | Path, box_format: str = 'xywh') -> OpenedData:
    """Finds out what a data set is, and converts it where it is no COCO json.

    Conversions go to the folder ``data_sets`` beside the weights of named models (`cache`),
    under a name that tells their content; nothing is written where the data are. Images that are
    missing are left out.

    Args:
        path: A folder in one of the layouts that `find_data_set` knows, a YOLO yaml, a table, a
            COCO json with its images in a usual place, or ``hf:owner/name``.
        box_format: For data sets of Hugging Face: xywh, xyxy or yolo.

    Raises:
        UserError: Nothing of the kind, or a record that cannot be read; names file and line.
    """
    found = recognise(path)
    if found.form == 'coco':
        root = found.root if found.path.is_dir() else None
        parts = {part: AnnotatedImages(file, images_of(file, root))
                 for part, file in found.files.items()}
        return OpenedData(parts, (_about(path, found, parts), ))
    data = read(found, box_format)
    _refuse_errors(data, path)
    notes = [_about(path, found, data.parts)]
    contents = {}
    for part, own in data.parts.items():
        there = [image for image in own.images if image.path.is_file()]
        if len(there) < len(own.images):
            first = next(image for image in own.images if not image.path.is_file())
            notes.append(f'{len(own.images) - len(there)} images are not there and left out, e.g. '
                         f'{first.path}')
        kept = replace(data, parts={part: replace(own, images=there)})
        contents[part] = json.dumps(coco_content(kept, part)[0], ensure_ascii=False) + '\n'
    notes += [f'{problem.what} is not there and left out' for own in data.parts.values()
              for problem in own.problems if problem.kind == 'missing_part']
    folder = _folder(found, ''.join(contents.values()))
    parts = {}
    for part, text in contents.items():
        parts[part] = AnnotatedImages(folder / f'{part}.json', data.parts[part].root.absolute())
        if not parts[part].ann_file.is_file():
            write_text(parts[part].ann_file, text)
    return OpenedData(parts, tuple(notes))


def one_part(path: str | Path, wanted: tuple[str, ...], box_format: str = 'xywh',
             need_boxes: bool = False) -> AnnotatedImages:
    """The part of a data set that is asked for: its only one, or the first of some names.

    Args:
        path: As in `open_data`.
        wanted: Parts, the best first.
        box_format: As in `open_data`.
        need_boxes: Whether to pass over parts without a box to find.

    Raises:
        UserError: As `open_data`, or none of these parts.
    """
    parts = open_data(path, box_format).parts
    if len(parts) == 1:
        return next(iter(parts.values()))
    for name in wanted:
        if name in parts and (not need_boxes or has_boxes(parts[name])):
            return parts[name]
    boxes = ', in which there are boxes' if need_boxes else ''
    raise UserError(f'a data set with the part {" or ".join(wanted)}{boxes}',
                    f'{path} with {", ".join(parts)}', 'pass the folder or file of one part')


def has_boxes(images: AnnotatedImages) -> bool:
    """Whether there is a box to learn from or to find; tests of some sets are published without."""
    return bool(read_coco_json(images.ann_file, need_annotations=False).examples())


def data_files(path: Path, settings: PromptSettings, box_format: str = 'xywh'
               ) -> tuple[dict[str, DataFile], str] | None:
    """The parts of a data set, to be checked, and what it was recognised as; None for a file that
    is checked as it is.

    Raises:
        UserError: A folder in which nothing of the kind is.
    """
    shards = path.is_dir() and any(next(path.glob(form), None) for form in ('*.jsonl', '*.tar'))
    whole = not path.is_dir() and not str(path).startswith(PREFIX)
    if shards or whole and find_data_set(path) is None:
        return None
    found = recognise(path)
    if found.form == 'coco':
        return {part: DataFile(file, images_of(file, found.root), settings=settings)
                for part, file in found.files.items()}, _about(path, found, found.files)
    data = read(found, box_format)
    return {part: DataFile(own.source, own.root, settings=settings, boxes=(data, part))
            for part, own in data.parts.items()}, _about(path, found, data.parts)


def recognise(path: str | Path) -> Found:
    """What a data set is.

    Raises:
        UserError: No such folder or file, or nothing of the kind.
    """
    path = Path(path)
    if str(path).startswith(PREFIX):
        return Found('datasets', path, 'the name')
    if not path.exists():
        raise UserError('a folder or file of a data set', f'nothing at {path}', 'check the path')
    found = find_data_set(path)
    if found is None:
        return Found('coco', path, path.name, {'train': path})
    return found


def read(found: Found, box_format: str = 'xywh') -> DataSet:
    """Reads a data set that is no COCO json.

    Raises:
        UserError: It cannot be read.
    """
    if found.form != 'datasets':
        return read_boxes(found)
    name = str(found.path)
    folder = cache() / f'{_word(name)}-{hashlib.sha256(name.encode()).hexdigest()[:12]}'
    return read_hub_data(name, folder, box_format)


def cache() -> Path:
    """The folder of conversions: beside the weights, or the user's own one for passing files.

    Raises:
        UserError: Neither can be had.
    """
    kept = weights_folder() / 'data_sets'
    user = os.getuid() if hasattr(os, 'getuid') else None
    if user is None or can_be_made(kept):
        return kept
    own = Path(tempfile.gettempdir()) / f'glipkit-{user}'
    try:
        own.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise cannot_write(own, error) from error
    if own.is_symlink() or own.stat().st_uid != user:  # somebody else's, with whatever is in it
        raise UserError('a folder for conversions', f'{own}, which is not yours',
                        'set GLIPKIT_HOME to a folder that you may write to')
    return own / 'data_sets'


def _folder(found: Found, text: str) -> Path:
    digest = hashlib.sha256(text.encode(errors='backslashreplace')).hexdigest()[:12]
    return cache() / f'{_word(found.root.absolute().name)}-{found.form}-{digest}'


def _word(name: str) -> str:
    return re.sub(r'[^\w.-]+', '_', name)[-40:].strip('._') or 'data'


def _about(path: str | Path, found: Found, parts: Mapping) -> str:
    also = f'; it could be {" or ".join(found.also)} as well' if found.also else ''
    return f'{path} is read as {found.form}, for {found.why}: {", ".join(parts)}{also}'


def _refuse_errors(data: DataSet, path: str | Path) -> None:
    errors = [problem for own in data.parts.values() for problem in own.problems
              if KINDS[problem.kind].severity == 'error']
    if errors:
        first = errors[0]
        count = sum(problem.kind == first.kind for problem in errors)
        raise UserError('data that can be learnt from and scored on',
                        f'{path} with {count} {KINDS[first.kind].message} '
                        f'({first.where}: {first.what})'[:400],
                        f'see all with: glipkit check-data {path}')
