"""COCO AP of a model that answers in class names."""
from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from glipkit.common.boxes import to_xywh
from glipkit.data.formats.coco_json import CocoJson, read_coco_json
from glipkit.data.formats.reading import as_area
from glipkit.evaluation.functional.coco_ap import SCORE_NAMES, CocoAP, coco_ap
from glipkit.evaluation.functional.naming import SHOWN_ABOVE, naming
from glipkit.evaluation.metrics.classes import (
    AskedIds,
    asked_classes,
    finite_scores,
    how_asked,
    known_image,
    read_groups,
    share_of_classes,
)
from glipkit.files import write_text
from glipkit.registry import METRICS
from glipkit.text.query import Query


@METRICS.register_module()
class GroundingCocoMetric(BaseMetric):
    """COCO box AP over all classes and over groups of classes, e.g. seen and unseen ones.

    A predicted label means a name of its sample's ``text``, and the name finds the category; so
    the prompt may hold the classes in any order, or a part of them. ``pred_instances.bboxes`` are
    xyxy pixels of the original image with exclusive right and bottom edge. Classes that no sample
    asks for do not count.

    Metrics: coco/AP, AP50, AP75, APs, APm, APl, and for a group coco/unseen_AP50 etc., from 0 to
    1; -1 where there is no ground truth. Beside them what a person sees, see
    :mod:`~glipkit.evaluation.functional.naming`: coco/best_label, coco/unseen_best_label and
    coco/labels_per_object.

    Args:
        ann_file: COCO json with the ground truth.
        groups: Name -> class names, the path of a JSON file that holds it, or 'ov-coco': its base
            and novel classes.
        outfile_prefix: Beginning of the name ``<prefix>.bbox.json`` of a file for the detections,
            as COCO results; None writes none.
        classwise: Whether to log AP and AP50 of each class.
        max_dets: Number of detections per image and class that count.
        shown_above: Lowest score of the detections that a person is shown, for labels_per_object:
            a config's own ``shown_above`` where it has one.
        prefix: Prefix of the names of metrics.
        **kwargs: Arguments collect_device and collect_dir of ``BaseMetric``.

    Raises:
        UserError: A file cannot be understood, an area is not a number, or a group names a class
            that ``ann_file`` lacks.
    """

    default_prefix = 'coco'
    #: Names of its scores, behind the prefix.
    score_pattern = r'(.+_)?(AP(50|75|[sml])?|best_label)|labels_per_object'
    #: After an evaluation, in the first process: the meaning of the numbers, in one line.
    protocol: str | None = None

    def __init__(self,
                 ann_file: str,
                 groups: Mapping[str, Sequence[str]] | str | None = None,
                 outfile_prefix: str | None = None,
                 classwise: bool = False,
                 max_dets: int = 100,
                 shown_above: float = SHOWN_ABOVE,
                 prefix: str | None = None,
                 **kwargs: Any) -> None:
        super().__init__(prefix=prefix, **kwargs)
        self.ground_truth = read_coco_json(ann_file)
        _check_areas(self.ground_truth)
        self.groups = read_groups(groups, self.ground_truth.id_of_name, self.ground_truth.path)
        self.outfile_prefix, self.classwise = outfile_prefix, classwise
        self.max_dets, self.shown_above = max_dets, shown_above
        self._asked = AskedIds(self.ground_truth.id_of_name, self.ground_truth.path)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Takes over the predictions of a batch.

        Raises:
            UserError: A class name or image id that the annotation file lacks. Raised here and not
                at the end, where the other processes of a distributed run would wait for ever.
        """
        for sample in data_samples:
            predictions = sample['pred_instances']
            ids = self._asked.of(Query.of_sample(sample))
            image_id = known_image(sample['img_id'], self.ground_truth.images,
                                   self.ground_truth.path)
            boxes = predictions['bboxes'].detach().cpu().double().numpy().reshape(-1, 4)
            self.results.append(
                dict(
                    image_id=image_id,
                    asked=ids,
                    bboxes=to_xywh(boxes),
                    scores=finite_scores(predictions['scores'].detach().cpu().double().numpy(),
                                         image_id),
                    category_ids=ids[predictions['labels'].cpu().numpy()]))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Scores what all processes found."""
        # Distributed samplers repeat images to even out the ranks.
        by_image = {result['image_id']: result for result in results}
        coco = self.ground_truth
        images = list(by_image) or list(coco.images)
        classes = asked_classes((result['asked'] for result in by_image.values()), coco.classes)
        detections = [d for result in by_image.values() for d in _to_coco(result)]
        if self.outfile_prefix:
            write_text(f'{self.outfile_prefix}.bbox.json', json.dumps(detections))
        scores = coco_ap(images, classes, coco.annotations, detections, self.groups,
                         self.max_dets)
        seen = naming(images, classes, coco.annotations, detections, self.groups,
                      self.shown_above)
        fewest = min((len(set(r['asked'].tolist())) for r in by_image.values()),
                     default=len(classes))
        self._log_protocol(
            f'{how_asked(self.groups, classes, fewest)}{scores.protocol}; {seen.protocol}',
            len(images), len(classes), len(detections))
        if self.classwise:
            print_log(_class_table(scores, coco), 'current')
        metrics = dict(scores.overall, best_label=seen.best_label,
                       labels_per_object=seen.labels_per_object)
        for group, group_scores in scores.groups.items():
            metrics.update({f'{group}_{name}': group_scores[name] for name in SCORE_NAMES})
            metrics[f'{group}_best_label'] = seen.groups[group]
        return metrics

    def _log_protocol(self, protocol: str, num_images: int, num_classes: int,
                      num_detections: int) -> None:
        """Says what the numbers are; a part of the images is worth a warning."""
        coco = self.ground_truth
        partial = num_images < len(coco.images)
        self.protocol = (
            f'{protocol}, {num_images} of {len(coco.images)} images, '
            f'{share_of_classes(num_classes, len(coco.classes))}, {num_detections} detections, '
            f'{coco.path}')
        print_log(f'Protocol: {self.protocol}', 'current',
                  logging.WARNING if partial else logging.INFO)


def _check_areas(coco: CocoJson) -> None:
    """Refuses areas that are not numbers; without one the area of the box counts."""
    for record in coco.annotations:
        as_area(record.get('area'), f'{coco.path}: annotation {record.get("id")}')


def _to_coco(result: Mapping) -> list[dict]:
    """COCO records of one image's detections."""
    rows = zip(result['category_ids'].tolist(), result['bboxes'].tolist(),
               result['scores'].tolist())
    return [dict(image_id=result['image_id'], category_id=c, bbox=b, score=s) for c, b, s in rows]


def _class_table(scores: CocoAP, coco: CocoJson) -> str:
    rows = [f'{s["AP"]:7.3f} {s["AP50"]:7.3f}  {coco.classes[c]}'
            for c, s in scores.per_class.items()]
    return '\n'.join(['COCO box AP per class', '     AP    AP50  class', *rows])
