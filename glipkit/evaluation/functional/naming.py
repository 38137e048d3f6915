"""What a person sees of a detector: whether the names on objects are right, and how many there are.

AP ranks the images of each class apart, so it hardly shows that many classes claim one object.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glipkit.common.boxes import box_iou, to_xyxy

OVERLAP = 0.5
#: Lowest score of a detection that a person is shown, of models that name none of their own.
SHOWN_ABOVE = 0.3


@dataclass(frozen=True)
class Naming:
    """Results over all objects; -1 where there is none.

    Args:
        best_label: Share of the objects whose best detection has the right name: the one with the
            highest score among all that overlap the object with an IoU of at least 0.5. An object
            that no detection overlaps counts as wrong.
        labels_per_object: Detections shown per object: all those with a score of at least the
            threshold, wherever they are.
        groups: Name of a group -> best_label over the objects of its classes.
        protocol: What was counted, in one line.
    """
    best_label: float
    labels_per_object: float
    groups: Mapping[str, float]
    protocol: str


def naming(images: Collection[int], classes: Collection[int], annotations: Sequence[Mapping],
           detections: Sequence[Mapping], groups: Mapping[str, Sequence[int]] | None = None,
           shown_above: float = SHOWN_ABOVE) -> Naming:
    """Best-label accuracy and labels per object.

    Args:
        images: Ids of the images to score.
        classes: Category ids to score; objects of others, and crowds, are no objects here.
        annotations: Ground truth: ``image_id``, ``category_id``, ``bbox`` xywh, ``iscrowd``.
        detections: ``image_id``, ``category_id``, ``bbox`` xywh and ``score``; may be empty.
        groups: Name -> category ids.
        shown_above: Lowest score of a detection that a person is shown.
    """
    scored, asked = set(images), set(classes)
    found: dict[int, list[Mapping]] = {image: [] for image in scored}
    for detection in detections:
        if detection['image_id'] in scored:
            found[detection['image_id']].append(detection)
    objects: dict[int, list[Mapping]] = {}
    for record in annotations:
        if record['image_id'] in scored and record['category_id'] in asked \
                and not record.get('iscrowd'):
            objects.setdefault(record['image_id'], []).append(record)
    pairs = [(record['category_id'], right) for image, mine in objects.items()
             for record, right in zip(mine, _right(mine, found[image]))]
    shown = sum(detection['score'] >= shown_above for mine in found.values()
                for detection in mine)
    return Naming(
        best_label=_share(right for _, right in pairs),
        labels_per_object=float(shown / len(pairs)) if pairs else -1.,
        groups={name: _share(right for category, right in pairs if category in set(members))
                for name, members in (groups or {}).items()},
        protocol=f'best label at IoU {OVERLAP:g} over {len(pairs)} objects, labels of a score of '
                 f'at least {shown_above:g} per object')


def _right(objects: Sequence[Mapping], detections: Sequence[Mapping]) -> list[bool]:
    """Whether each object of one image has the right name."""
    if not detections:
        return [False] * len(objects)
    boxes = [to_xyxy(np.array([record['bbox'] for record in records], np.float64))
             for records in (objects, detections)]
    scores = np.array([detection['score'] for detection in detections], np.float64)
    ranked = np.where(box_iou(*boxes) >= OVERLAP, scores, -np.inf)  # (objects, detections)
    best = ranked.argmax(1)
    return [bool(np.isfinite(row[column])
                 and detections[column]['category_id'] == record['category_id'])
            for row, column, record in zip(ranked, best, objects)]


def _share(values: Iterable[bool]) -> float:
    values = list(values)
    return float(np.mean(values)) if values else -1.
