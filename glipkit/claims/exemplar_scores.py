"""What the exemplar benchmark counts: right and wrong detections, and labels of an object.

Detections and annotations are COCO records; a detection is right where it has the category of an
object that it overlaps with an IoU of at least `OVERLAP`, and no better detection has that object.
"""
from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glipkit.apis.detections import Detections
from glipkit.common.boxes import box_iou, to_xyxy
from glipkit.data.formats.coco_json import CocoJson, read_coco_json
from glipkit.evaluation.functional.coco_ap import CocoAP, coco_ap

OVERLAP = .5
#: Share of a thing's objects that are found where false positives are counted.
RECALL = .8

Record = Mapping[str, object]


def pictures(coco: CocoJson, folder: Path) -> list[Path]:
    """Paths of the pictures of an annotation file, in its order."""
    return [folder / record['file_name'] for record in coco.images.values()]


def as_records(found: Iterable[Detections], coco: CocoJson) -> list[dict]:
    """COCO results of detections, one item per picture of ``coco`` in its order.

    Classes that the file lacks are left out.
    """
    records = []
    for image, one in zip(coco.images, found, strict=True):
        known = [name in coco.id_of_name for name in one.classes]
        ids = [coco.id_of_name.get(name, -1) for name in one.classes]
        records += one[np.array([known[label] for label in one.labels], bool)].to_coco(image, ids)
    return records


def average_precision(file: Path, detections: Sequence[Record],
                      names: Iterable[str] | None = None) -> CocoAP:
    """COCO AP over some classes of an annotation file; None takes all of them."""
    coco = read_coco_json(file)
    ids = list(coco.classes) if names is None else [coco.id_of_name[name] for name in names]
    return coco_ap(list(coco.images), ids, coco.annotations, detections)


@dataclass(frozen=True)
class Marked:
    """Detections of one class, best first.

    Args:
        scores: (N,) scores.
        right: (N,) whether each is right.
        fooled: (N,) whether each lies on an object of a class that it must not be taken for.
        objects: How many objects there are to find.
    """
    scores: np.ndarray
    right: np.ndarray
    fooled: np.ndarray
    objects: int


def mark(annotations: Iterable[Record], detections: Iterable[Record], category: int,
         confused: Iterable[int] = ()) -> Marked:
    """Which detections of a class are right, and which lie on a look-alike.

    Args:
        annotations: Objects: ``image_id``, ``category_id``, ``bbox`` xywh.
        detections: The same, and ``score``.
        category: Category of the class.
        confused: Categories of its look-alikes.
    """
    confused = set(confused)
    own, others = defaultdict(list), defaultdict(list)
    for record in annotations:
        if record['category_id'] == category:
            own[record['image_id']].append(record['bbox'])
        elif record['category_id'] in confused:
            others[record['image_id']].append(record['bbox'])
    objects = sum(map(len, own.values()))
    ranked = sorted((one for one in detections if one['category_id'] == category),
                    key=lambda one: -one['score'])
    right, fooled = np.zeros(len(ranked), bool), np.zeros(len(ranked), bool)
    for rank, one in enumerate(ranked):
        mine = own[one['image_id']]
        overlaps = _overlaps(one['bbox'], mine)
        if overlaps.size and overlaps.max() >= OVERLAP:
            right[rank] = True
            mine.pop(int(overlaps.argmax()))  # an object is found once
        else:
            fooled[rank] = (_overlaps(one['bbox'], others[one['image_id']]) >= OVERLAP).any()
    return Marked(np.array([one['score'] for one in ranked]), right, fooled, objects)


def _overlaps(box: Sequence[float], boxes: Sequence[Sequence[float]]) -> np.ndarray:
    """(M,) IoU of a box with M boxes, all xywh."""
    return box_iou(to_xyxy(np.array([box], float)),
                   to_xyxy(np.array(boxes, float).reshape(-1, 4)))[0]


def fooled_at_equal_recall(ours: Marked, theirs: Marked, recall: float = RECALL
                           ) -> tuple[int, int, float]:
    """Detections on look-alikes of two models, each at the threshold where it finds as much.

    Args:
        ours: Detections of one model.
        theirs: Those of the other, for the same objects.
        recall: Share of the objects to find; less where one of the models finds less.

    Returns:
        Those of ours, those of theirs, and the recall.
    """
    found = min(math.ceil(recall * ours.objects), int(ours.right.sum()), int(theirs.right.sum()))
    if not found:
        return 0, 0, 0.
    counts = [int(one.fooled[one.scores >= one.scores[np.flatnonzero(one.right)[found - 1]]].sum())
              for one in (ours, theirs)]
    return counts[0], counts[1], found / ours.objects


@dataclass(frozen=True)
class Labels:
    """What the objects of pairs are called.

    Args:
        objects: Number of objects.
        one: Share with exactly one label.
        some: Share with at least one.
        right: Share with the right label and no other.
        best: Share whose best label is the right one.
    """
    objects: int
    one: float
    some: float
    right: float
    best: float


def labels_of_objects(annotations: Iterable[Record], detections: Iterable[Record],
                      pairs: Iterable[Sequence[int]]) -> Labels:
    """Counts labels of every object, of the classes of its pair.

    Args:
        annotations: Objects, as for `mark`.
        detections: Detections that a person is shown.
        pairs: Category ids of each pair.
    """
    partners = {category: set(pair) for pair in pairs for category in pair}
    found = defaultdict(list)
    for one in detections:
        found[one['image_id']].append(one)
    counts = []
    for record in annotations:
        category = record['category_id']
        rivals = [one for one in found[record['image_id']]
                  if one['category_id'] in partners[category]]
        on = _overlaps(record['bbox'], [one['bbox'] for one in rivals]) > OVERLAP
        labels = [one for one, hit in zip(rivals, on) if hit]
        best = max(labels, key=lambda one: one['score'], default={'category_id': None})
        counts.append((len(labels) == 1, len(labels) > 0,
                       [one['category_id'] for one in labels] == [category],
                       best['category_id'] == category))
    shares = np.mean(np.array(counts, float).reshape(-1, 4), 0) if counts else np.zeros(4)
    return Labels(len(counts), *map(float, shares))
