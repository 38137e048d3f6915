"""Region features of many images as files, one per image; an interrupted run goes on."""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from glipkit.apis.images import ImageSource
from glipkit.apis.predictor import Predictor
from glipkit.apis.regions import box_features
from glipkit.apis.tasks import fingerprint
from glipkit.common import reporter
from glipkit.common.digests import file_sha256
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.data.formats.reading import as_box, read_json
from glipkit.errors import UserError
from glipkit.files import write_encoded
from glipkit.runs.folder import LOCK, claimed
from glipkit.text.query import Query

SUFFIX = '.safetensors'
#: File of the settings, apart from what is named after images.
SETTINGS = '.settings.json'


@dataclass
class FeatureCounts:
    """What became of the images of a run.

    Attributes:
        written: Files that were written.
        there: Files that an earlier start of the run had written.
        bad: Images that cannot be read.
        regions: Boxes in the files that were written.
        unnamed: Images that the file of boxes does not name.
        lost: Names of the file of boxes that no image has.
    """
    written: int = 0
    there: int = 0
    bad: int = 0
    regions: int = 0
    unnamed: int = 0
    lost: tuple[str, ...] = ()


def read_boxes(path: str | Path) -> dict[str, list[list[float]]]:
    """Boxes by image file: ``{"a.jpg": [[x1, y1, x2, y2], ...], ...}`` or a COCO json.

    Returns:
        Name as the file has it -> boxes xyxy in pixels of the image, in the order of the file.

    Raises:
        UserError: The file is neither, or a box in it is no four finite numbers.
    """
    content = read_json(path, 'a json of boxes')
    if isinstance(content, dict) and 'annotations' in content:
        coco = read_coco_json(path)
        found: dict[str, list[list[float]]] = {
            image['file_name']: [] for image in coco.images.values()}
        for record in coco.annotations:
            x, y, w, h = record['bbox']
            found[coco.images[record['image_id']]['file_name']].append([x, y, x + w, y + h])
        return found
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise UserError('a json that maps file names to lists of boxes, or a COCO json', str(path),
                        'write {"photo.jpg": [[x1, y1, x2, y2], ...]}')
    return {name: [as_box(box, f'{path}: {name}', 'x1, y1, x2, y2') for box in boxes]
            for name, boxes in content.items()}


def boxes_of(sources: Sequence[ImageSource],
             named: Mapping[str, Any]) -> tuple[list[Any], tuple[str, ...]]:
    """The boxes of each image, by its path, the end of its path, or its name; None without.

    Returns:
        The boxes, and the names that no image has.

    Raises:
        UserError: No image is named at all.
    """
    ends = {Path(name).parts: name for name in named}
    names = []
    for source in sources:
        parts = source.path.parts
        fitting = (ends[parts[i:]] for i in range(len(parts)) if parts[i:] in ends)
        names.append(next(fitting, None))
    if all(name is None for name in names):
        raise UserError('a file of boxes that names these images',
                        f'{next(iter(named), "no name")!r} and the image {sources[0]}',
                        'name images by file name, or by the end of their path')
    used = set(names)
    return ([None if name is None else named[name] for name in names],
            tuple(name for name in ends.values() if name not in used))


def write_features(predictor: Predictor, sources: Sequence[ImageSource], out: Path,
                   boxes_file: str | Path | None = None,
                   skip: Callable[[UserError], None] | None = None) -> FeatureCounts:
    """Writes ``<image>.safetensors`` for every image: ``boxes`` (N, 4) and ``feats`` (N, D).

    Boxes are xyxy pixels of the image as it is, features float32 and not of length 1. Files lie
    as the images do, below their common folder. The same call again goes on where it ended.

    Args:
        predictor: With a model that reads regions.
        sources: Image files.
        out: Folder of the files.
        boxes_file: See `read_boxes`; None takes the boxes of the model's own source.
        skip: Called with the error of each image that cannot be read, which is left out then;
            None raises it.

    Raises:
        UserError: A box that cannot be used, an image that cannot be read, or a folder of another
            run.
    """
    given: Sequence[Any] = [None] * len(sources)
    counts, ours = FeatureCounts(), False
    if boxes_file is not None:
        given, counts.lost = boxes_of(sources, read_boxes(boxes_file))
    root = Path(os.path.commonpath([source.path.absolute().parent for source in sources]))
    identity = dict(model=fingerprint(predictor.model),
                    boxes=None if boxes_file is None else file_sha256(boxes_file))
    try:
        with claimed(out, identity, SETTINGS), \
                reporter.bar('reading regions', len(sources), 'image') as bar:
            ours = True
            for source, boxes in zip(sources, given):
                place = out / f'{source.path.absolute().relative_to(root)}{SUFFIX}'
                if boxes_file is not None and boxes is None:
                    counts.unnamed += 1
                elif place.is_file():
                    counts.there += 1
                else:
                    _write(predictor, source, boxes, place, counts, skip)
                bar.update(1)
    finally:
        if ours and not counts.written and not counts.there:
            _give_back(out)
    return counts


def _give_back(out: Path) -> None:
    """Removes the claim of a folder without results: corrected boxes may use it."""
    if not out.is_dir() or {path.name for path in out.iterdir()} - {SETTINGS, LOCK}:
        return
    for name in (SETTINGS, LOCK):
        (out / name).unlink(missing_ok=True)
    out.rmdir()


def _write(predictor: Predictor, source: ImageSource, boxes: Any, place: Path,
           counts: FeatureCounts, skip: Callable[[UserError], None] | None) -> None:
    try:
        item = predictor.prepare(source, Query.for_classes(()), ())
    except UserError as error:
        if skip is None:
            raise
        skip(error)
        counts.bad += 1
        return
    where, features = box_features(predictor.model, item, boxes)
    if boxes is not None:  # as the caller wrote them, not there and back
        where = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    content = save(dict(boxes=where, feats=features))
    write_encoded(place, lambda file: file.write(content))
    counts.written += 1
    counts.regions += len(where)
