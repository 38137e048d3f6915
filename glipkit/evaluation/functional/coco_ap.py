"""COCO average precision: over all classes, per class, and over named groups of classes."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from faster_coco_eval import COCO
from faster_coco_eval.core import COCOeval_faster

#: Score name -> (index of its IoU threshold or None for the mean of all, index of its area range).
_SCORES = {'AP': (None, 0), 'AP50': (0, 0), 'AP75': (5, 0), 'APs': (None, 1), 'APm': (None, 2),
           'APl': (None, 3)}
SCORE_NAMES = tuple(_SCORES)


@dataclass(frozen=True)
class CocoAP:
    """Scores AP (IoU 0.50:0.05:0.95), AP50, AP75, APs, APm, APl, each from 0 to 1.

    -1 where there is no ground truth, as in pycocotools. Areas: small under 32^2 pixels,
    large from 96^2.

    Args:
        overall: Scores over all classes.
        per_class: Category id -> its scores.
        groups: Name of a group -> scores over its classes: the mean over those of its classes that
            have ground truth.
        protocol: What was computed, in one line.
    """
    overall: Mapping[str, float]
    per_class: Mapping[int, Mapping[str, float]]
    groups: Mapping[str, Mapping[str, float]]
    protocol: str


def coco_ap(images: Sequence[int],
            classes: Sequence[int],
            annotations: Sequence[Mapping],
            detections: Sequence[Mapping],
            groups: Mapping[str, Sequence[int]] | None = None,
            max_dets: int = 100) -> CocoAP:
    """Computes COCO box AP, equal to pycocotools.

    Args:
        images: Ids of the images to score; annotations and detections of others do not count.
        classes: Category ids to score; annotations and detections of others do not count.
        annotations: Ground truth: ``image_id``, ``category_id``, ``bbox`` xywh, and optionally
            ``area`` (else w * h) and ``iscrowd``. Ids of annotations are not used: pycocotools
            takes an annotation with id 0 for a missed one.
        detections: ``image_id``, ``category_id``, ``bbox`` xywh and ``score``; may be empty.
        groups: Name -> category ids; those of ``classes`` among them count.
        max_dets: Best detections per image and class that count.
    """
    # Ids of its own: the evaluator takes them for floats, which confuses neighbours over 2^53.
    image_of, class_of = _numbered(images), _numbered(classes)

    def own(records: Sequence[Mapping], *keys: str) -> list[dict]:
        return [dict(image_id=image_of[r['image_id']], category_id=class_of[r['category_id']],
                     **{key: r.get(key) for key in keys})
                for r in records if r['image_id'] in image_of and r['category_id'] in class_of]

    ground_truth = COCO(
        dict(
            images=[dict(id=number) for number in image_of.values()],
            categories=[dict(id=number, name=str(number)) for number in class_of.values()],
            annotations=[_ground_truth(number, a) for number, a in enumerate(
                own(annotations, 'bbox', 'area', 'iscrowd'), 1)]))
    found = ground_truth.loadRes(own(detections, 'bbox', 'score'))
    evaluation = COCOeval_faster(ground_truth, found, iouType='bbox', print_function=_silent)
    evaluation.params.maxDets = [max_dets]
    evaluation.evaluate()
    evaluation.accumulate()
    # (IoU thresholds, recalls, classes, areas): -1 where a class has no ground truth
    precision = np.asarray(evaluation.eval['precision'])[..., -1]
    column = {category_id: number - 1 for category_id, number in class_of.items()}
    return CocoAP(
        overall=_scores(precision),
        per_class={c: _scores(precision[:, :, [k]]) for c, k in column.items()},
        groups={
            name: _scores(precision[:, :, [column[c] for c in members if c in column]])
            for name, members in (groups or {}).items()
        },
        protocol=f'COCO box AP, IoU 0.50:0.05:0.95, at most {max_dets} detections per image and '
        'class, faster-coco-eval')


def _scores(precision: np.ndarray) -> dict[str, float]:
    """Means over the classes with ground truth, from precision (IoUs, recalls, classes, areas)."""
    result = {}
    for name, (iou, area) in _SCORES.items():
        values = precision[slice(None) if iou is None else iou, ..., area]
        values = values[values > -1]
        result[name] = float(values.mean()) if values.size else -1.
    return result


def _numbered(ids: Sequence[int]) -> dict[int, int]:
    """Id -> its place among all of them, from 1: 0 is no id to pycocotools."""
    return {own: number for number, own in enumerate(sorted(set(ids)), 1)}


def _ground_truth(number: int, annotation: Mapping) -> dict:
    bbox, area = annotation['bbox'], annotation.get('area')
    return dict(
        id=number,
        image_id=annotation['image_id'],
        category_id=annotation['category_id'],
        bbox=bbox,
        area=bbox[2] * bbox[3] if area is None else area,
        iscrowd=int(annotation.get('iscrowd') or 0))


def _silent(*_: object) -> None:
    """In place of print: faster_coco_eval reports steps that take no time."""
