"""Detections of annotated images, kept in parts so that a run that was ended goes on."""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.apis.asking import Question
from glipkit.apis.images import list_images
from glipkit.apis.predictor import Predictor
from glipkit.calibration.measuring import Looked
from glipkit.common import reporter
from glipkit.common.boxes import to_xyxy
from glipkit.common.reporter import note
from glipkit.data.formats.coco_json import CocoJson
from glipkit.errors import UserError
from glipkit.files import make_folder, write_text

#: Images of a part.
PART = 32


def detections_of(predictor: Predictor, question: Question, coco: CocoJson, folder: Path,
                  out: Path) -> list[Looked]:
    """All detections of all images, with every label of each object and scores before any map.

    Args:
        predictor: Who answers.
        question: What is asked: all labels and all scores, of a task without a calibration.
        coco: The annotations.
        folder: Folder of the images.
        out: Folder of the run; its folder ``detections`` gets a file per `PART` images.

    Raises:
        UserError: No image can be read.
    """
    make_folder(out / 'detections')
    ids, found, bad = list(coco.images), {}, []
    with reporter.bar('predicting', len(ids), 'image') as bar:
        for begin in range(0, len(ids), PART):
            path, own = out / 'detections' / f'{begin // PART:06d}.json', ids[begin:begin + PART]
            rows = _kept(path, own)
            if rows is None:
                rows = _ask(predictor, question, coco, folder, own)
                write_text(path, json.dumps(rows) + '\n')
            bad += [row for row in rows if 'error' in row]
            found.update({row['image_id']: row for row in rows if 'error' not in row})
            bar.update(len(own))
    if bad:
        note(f'note: {len(bad)} of {len(ids)} images cannot be read and are left out, e.g. '
             f'{bad[0]["error"]}')
    if not found:
        raise UserError('images that can be read', f'{len(bad)} that cannot, e.g. '
                        f'{bad[0]["error"]}', 'check --images')
    label = {coco.id_of_name[name]: i for i, name in enumerate(question.names)
             if name in coco.id_of_name}
    boxes: dict[int, list[dict]] = {image_id: [] for image_id in found}
    for record in coco.annotations:
        if record['image_id'] in boxes and record['category_id'] in label:
            boxes[record['image_id']].append(record)
    return [_looked(found[image_id], boxes[image_id], label) for image_id in found]


def _ask(predictor: Predictor, question: Question, coco: CocoJson, folder: Path,
         ids: Sequence[int]) -> list[dict[str, Any]]:
    """A row of plain values for each image, in order."""
    rows: list[dict[str, Any]] = []
    for image_id in ids:
        try:
            one, = predictor.answer(list_images(folder / coco.images[image_id]['file_name']),
                                    question)
        except UserError as error:
            rows.append(dict(image_id=image_id, error=str(error.got)))
            continue
        rows.append(dict(image_id=image_id, boxes=one.boxes.round(2).tolist(),
                         scores=one.scores.tolist(), labels=one.labels.tolist()))
    return rows


def _kept(path: Path, ids: Sequence[int]) -> list[dict[str, Any]] | None:
    """The rows of an earlier start; None where there are none that are whole."""
    try:
        rows = json.loads(path.read_text(encoding='utf-8'))
    except (FileNotFoundError, ValueError):
        return None
    return rows if [row['image_id'] for row in rows] == list(ids) else None


def _looked(row: dict[str, Any], records: Sequence[dict], label: dict[int, int]) -> Looked:
    truth = np.array([record['bbox'] for record in records], np.float64).reshape(-1, 4)
    return Looked(
        boxes=np.array(row['boxes'], np.float32).reshape(-1, 4),
        scores=np.array(row['scores'], np.float32), labels=np.array(row['labels'], np.int64),
        truth=to_xyxy(truth),
        truth_labels=np.array([label[record['category_id']] for record in records], np.int64),
        crowd=np.array([bool(record['iscrowd']) for record in records], bool))
