"""COCO AP of a model that answers in class names."""
from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from glipkit.data.formats.coco_json import CocoJson, read_coco_json
from glipkit.data.formats.reading import read_json
from glipkit.errors import UserError
from glipkit.evaluation.functional.coco_ap import SCORE_NAMES, CocoAP, coco_ap
from glipkit.registry import METRICS


@METRICS.register_module()
class GroundingCocoMetric(BaseMetric):
    """COCO box AP over all classes and over groups of classes, e.g. seen and unseen ones.

    A predicted label means a name of its sample's ``text``, and the name finds the category; so
    the prompt may hold the classes in any order, or a part of them. ``pred_instances.bboxes`` are
    inclusive xyxy pixels of the original image and are written as xywh with w = x2 - x1 + 1.

    Metrics: coco/AP, AP50, AP75, APs, APm, APl, and for a group coco/unseen_AP50 etc., from 0 to
    1; -1 where there is nothing to find.

    Args:
        ann_file: COCO json with the ground truth.
        groups: Name -> class names, or the path of a JSON file that holds it.
        outfile_prefix: Write detections to ``<prefix>.bbox.json``, as COCO results.
        classwise: Log AP and AP50 of each class.
        max_dets: Detections per image and class that count.
        prefix: Before the names of metrics.
        **kwargs: collect_device and collect_dir of ``BaseMetric``.

    Raises:
        UserError: A file cannot be understood, or a group names a class that ``ann_file`` lacks.
    """

    default_prefix = 'coco'

    def __init__(self,
                 ann_file: str,
                 groups: Mapping[str, Sequence[str]] | str | None = None,
                 outfile_prefix: str | None = None,
                 classwise: bool = False,
                 max_dets: int = 100,
                 prefix: str | None = None,
                 **kwargs: Any) -> None:
        super().__init__(prefix=prefix, **kwargs)
        self.ground_truth = read_coco_json(ann_file)
        self.groups = _read_groups(groups, self.ground_truth)
        self.outfile_prefix, self.classwise = outfile_prefix, classwise
        self.max_dets = max_dets

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Takes over the predictions of a batch.

        Raises:
            UserError: A class name or image id that the annotation file lacks. Raised here and not
                in the end, where the other processes of a distributed run would wait for ever.
        """
        for sample in data_samples:
            predictions = sample['pred_instances']
            category_ids = self._category_ids(sample['text'])
            image_id = sample['img_id']
            if image_id not in self.ground_truth.images:
                raise UserError(f'images of {self.ground_truth.path}', f'img_id {image_id!r}',
                                'evaluate on the annotation file that the test set was read from')
            boxes = predictions['bboxes'].detach().cpu().double().numpy().reshape(-1, 4)
            self.results.append(
                dict(
                    image_id=image_id,
                    bboxes=np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2] + 1], axis=1),
                    scores=predictions['scores'].detach().cpu().double().numpy(),
                    category_ids=category_ids[predictions['labels'].cpu().numpy()]))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Scores what all processes found."""
        # Distributed samplers repeat images to even out the ranks.
        by_image = {result['image_id']: result for result in results}
        coco = self.ground_truth
        images = list(by_image) or list(coco.images)
        detections = [d for result in by_image.values() for d in _to_coco(result)]
        self._log_protocol(len(images), len(detections))
        if self.outfile_prefix:
            _write_json(f'{self.outfile_prefix}.bbox.json', detections)
        scores = coco_ap(images, list(coco.classes), coco.annotations, detections, self.groups,
                         self.max_dets)
        if self.classwise:
            print_log(_class_table(scores, coco), 'current')
        metrics = dict(scores.overall)
        for group, group_scores in scores.groups.items():
            metrics.update({f'{group}_{name}': group_scores[name] for name in SCORE_NAMES})
        return metrics

    def _category_ids(self, text: Sequence[str] | str) -> np.ndarray:
        """Category id of each name that a sample was asked for."""
        ids = self.ground_truth.id_of_name
        unknown = [repr(text)] if isinstance(text, str) else [n for n in text if n not in ids]
        if unknown:
            raise UserError(f'class names of {self.ground_truth.path} as text of the samples',
                            ', '.join(unknown[:5]), 'spell them as in the annotation file')
        return np.asarray([ids[name] for name in text], dtype=np.int64)

    def _log_protocol(self, num_images: int, num_detections: int) -> None:
        """Says what the numbers are; a part of the images is worth a warning."""
        coco = self.ground_truth
        partial = num_images < len(coco.images)
        print_log(
            f'Protocol: COCO box AP, IoU 0.50:0.05:0.95, at most {self.max_dets} detections per '
            f'image and class, {num_images} of {len(coco.images)} images, {len(coco.classes)} '
            f'classes, {num_detections} detections, {coco.path}; faster-coco-eval',
            'current', logging.WARNING if partial else logging.INFO)


def _read_groups(groups: Mapping[str, Sequence[str]] | str | None,
                 coco: CocoJson) -> dict[str, list[int]]:
    """Group name -> category ids."""
    where = 'groups'
    if isinstance(groups, (str, os.PathLike)):
        where, groups = str(groups), read_json(groups, 'a JSON file {"group": [names], ...}')
    if not isinstance(groups or {}, Mapping):
        raise UserError('groups as {"name": [class names], ...}', f'{where}: {groups!r}',
                        'correct the structure')
    ids = coco.id_of_name
    result = {}
    for group, names in (groups or {}).items():
        if not isinstance(names, (list, tuple)):
            raise UserError('a list of class names per group', f'{where}: {group}: {names!r}',
                            'list the names')
        unknown = [name for name in names if name not in ids]
        if unknown:
            raise UserError(f'groups of classes that {coco.path} has',
                            f'{where}: {group}: {unknown[:5]}', 'spell them as in that file')
        result[group] = [ids[name] for name in dict.fromkeys(names)]
    return result


def _to_coco(result: Mapping) -> list[dict]:
    """COCO records of one image's detections."""
    rows = zip(result['category_ids'].tolist(), result['bboxes'].tolist(),
               result['scores'].tolist())
    return [dict(image_id=result['image_id'], category_id=c, bbox=b, score=s) for c, b, s in rows]


def _class_table(scores: CocoAP, coco: CocoJson) -> str:
    rows = [f'{s["AP"]:7.3f} {s["AP50"]:7.3f}  {coco.classes[c]}'
            for c, s in scores.per_class.items()]
    return '\n'.join(['COCO box AP per class', '     AP    AP50  class', *rows])


def _write_json(path: str, content: Any) -> None:
    """Writes the whole file or nothing."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    part = Path(f'{path}.part')
    part.write_text(json.dumps(content), encoding='utf-8')
    part.replace(path)
