"""False positives on classes whose absence is certain."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from glipkit.data.formats.coco_json import read_coco_json
from glipkit.errors import UserError
from glipkit.evaluation.functional.false_positives import count_above, false_positives
from glipkit.evaluation.metrics.array_metric import ArrayMetric
from glipkit.evaluation.metrics.classes import (
    category_ids,
    finite_scores,
    known_image,
    share_of_classes,
)
from glipkit.evaluation.metrics.federated_json import is_federated, read_federated_json
from glipkit.registry import METRICS
from glipkit.text.query import Query


@METRICS.register_module()
class FalsePositiveMetric(ArrayMetric):
    """Number of detections of absent classes, at thresholds as a user would set them.

    COCO annotations are exhaustive: a class without annotation in an image, crowds included, is
    absent. LVIS annotations say which classes are absent (``neg_category_ids``); the file shows
    which of the two it is. Only classes that a sample's ``text`` asks for count.

    Metrics, for a threshold of 0.5: false_positives/per_image@0.5 (mean over images with an absent
    class), per_class@0.5 (mean over pairs of an image and an absent class) and images@0.5 (share
    of images with at least one). -1 without any such image.

    Args:
        ann_file: COCO or LVIS json.
        thresholds: Score thresholds; a detection counts if its score reaches one.
        prefix: Prefix of the names of metrics.
        **kwargs: Arguments collect_device and collect_dir of ``BaseMetric``.

    Raises:
        UserError: The file cannot be understood, or thresholds are no list of numbers from 0 to 1.
    """

    default_prefix = 'false_positives'

    def __init__(self, ann_file: str, thresholds: Sequence[float] = (.1, .3, .5),
                 prefix: str | None = None, **kwargs: Any) -> None:
        super().__init__(prefix=prefix, **kwargs)
        if not isinstance(thresholds, (list, tuple)) or not thresholds or not all(
                isinstance(value, (int, float)) and 0 <= value <= 1 for value in thresholds):
            raise UserError('thresholds as a list of numbers from 0 to 1', repr(thresholds),
                            'pass e.g. thresholds=(0.3, 0.5)')
        self.ann_file, self.thresholds = str(ann_file), tuple(map(float, thresholds))
        self._read()
        self.reset()

    def _read(self) -> None:
        """Sets names, images and, (C, I), whether a class is certainly absent from an image."""
        self.federated = is_federated(self.ann_file)
        if self.federated:
            truth = read_federated_json(self.ann_file)
            image_ids, classes = truth.image_ids.tolist(), truth.category_ids.tolist()
            names, self.absent = truth.names, truth.negative
        else:
            coco = read_coco_json(self.ann_file)
            image_ids, classes = list(coco.images), list(coco.classes)
            names = tuple(coco.classes.values())
            self.absent = np.ones((len(classes), len(image_ids)), dtype=bool)
        self._image = {image_id: place for place, image_id in enumerate(image_ids)}
        self._row = {category_id: place for place, category_id in enumerate(classes)}
        self._id_of_name = dict(zip(names, classes))
        if not self.federated:
            for record in coco.annotations:
                self.absent[self._row[record['category_id']], self._image[record['image_id']]] = \
                    False

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Counts the predictions of a batch.

        Raises:
            UserError: A class name or image id that the annotation file lacks.
        """
        for sample in data_samples:
            image = self._image[known_image(sample['img_id'], self._image, self.ann_file)]
            ids = category_ids(Query.of_sample(sample), self._id_of_name, self.ann_file)
            rows = [self._row[i] for i in ids.tolist()]
            self._wanted[rows] = True
            absent = self.absent[rows, image]
            found = sample['pred_instances']
            labels = found['labels'].cpu().numpy()
            counts = count_above(
                finite_scores(found['scores'].detach().cpu().numpy(), sample['img_id']),
                absent[labels], self.thresholds)
            self._counts[image] = (int(absent.sum()), *counts.tolist())

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """(images, 2 + H) int64: image, absent classes asked for, counts per threshold; and (C,)
        bool the classes asked for."""
        rows = [(image, *row) for image, row in self._counts.items()]
        return (np.array(rows, dtype=np.int64).reshape(-1, 2 + len(self.thresholds)),
                self._wanted)

    def reset(self) -> None:
        """Removes all counts."""
        self._counts: dict[int, tuple[int, ...]] = {}
        self._wanted = np.zeros(len(self.absent), dtype=bool)

    def compute_metrics(self, results: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
        """Means over the images of all processes."""
        table = np.concatenate([rows for rows, _ in results])
        wanted = np.any([wanted for _, wanted in results], axis=0)
        table = table[np.unique(table[:, 0], return_index=True)[1]]
        table = table[table[:, 1] > 0]
        scores = false_positives(table[:, 2:], table[:, 1], self.thresholds)
        kind = 'LVIS negatives' if self.federated else 'classes without annotation'
        classes = share_of_classes(int(wanted.sum()), len(wanted))
        self.protocol = f'{scores.protocol} ({kind}), {classes}, {self.ann_file}'
        return {f'{name}@{threshold:g}': value
                for name in ('per_image', 'per_class', 'images')
                for threshold, value in getattr(scores, name).items()}
