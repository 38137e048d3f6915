"""LVIS AP of a model that answers in class names, fixed or capped."""
from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from glipkit.errors import UserError
from glipkit.evaluation.functional.lvis_ap import lvis_ap, make_spool, protocol_name
from glipkit.evaluation.functional.spool import Rows
from glipkit.evaluation.metrics.array_metric import ArrayMetric
from glipkit.evaluation.metrics.classes import (
    category_ids,
    finite_scores,
    how_asked,
    known_image,
    read_groups,
    share_of_classes,
)
from glipkit.evaluation.metrics.federated_json import read_federated_json
from glipkit.evaluation.metrics.trimming import is_trimmed, trim
from glipkit.registry import METRICS
from glipkit.text.query import Query


@METRICS.register_module()
class LvisMetric(ArrayMetric):
    """LVIS box AP with the federated rules, streamed: memory does not grow with images x classes.

    A predicted label means a name of its sample's ``text``, and the name, spelt as in the
    annotation file, finds the category. ``pred_instances.bboxes`` are xyxy pixels of the original
    image with exclusive right and bottom edge. Classes that no sample asks for do not count.

    Metrics: lvis_fixed/AP or lvis_capped/AP, AP50, AP75, APs, APm, APl, APr, APc, APf, and for a
    group lvis_fixed/novel_AP etc., from 0 to 1; -1 where there is no ground truth.

    Args:
        ann_file: LVIS json with the ground truth.
        bound: 'fixed': at most 10,000 detections of a class over the whole set (Dave et al.,
            arXiv 2102.01066), as the zero-shot numbers of Li et al., CVPR 2022. 'capped': at most
            300 detections of an image, the LVIS challenge. The two differ by several points, so
            the names of the metrics say which it is.
        groups: Name -> class names (base and novel), the path of a JSON file that holds it, or
            'ov-lvis': frequent and common classes are base, rare ones novel.
        add_pixel: False is ``trim_pixel=True``, True is ``trim_pixel=False``; for configs of
            version 0.1.
        prefix: Prefix of the names of metrics; None takes the name of the protocol.
        trim_pixel: Whether predicted boxes first lose a pixel of their width and height. Li et
            al., CVPR 2022 measured so (maskrcnn_benchmark/data/datasets/evaluation/lvis); the
            LVIS challenge and MMDetection take boxes as they are.
        **kwargs: Arguments collect_device and collect_dir of ``BaseMetric``.

    Raises:
        UserError: A file cannot be understood, an unknown ``bound``, or a group names a class
            that ``ann_file`` lacks.
    """

    #: Names of its scores, behind the prefix.
    score_pattern = r'(.+_)?AP(50|75|[smlrcf])?'

    def __init__(self, ann_file: str, bound: str = 'fixed',
                 groups: Mapping[str, Sequence[str]] | str | None = None,
                 add_pixel: bool | None = None, prefix: str | None = None,
                 trim_pixel: bool = True, **kwargs: Any) -> None:
        if bound not in ('fixed', 'capped'):
            raise UserError("bound='fixed' or 'capped'", repr(bound), 'choose one of these')
        super().__init__(prefix=prefix or f'lvis_{bound}', **kwargs)
        self.ann_file, self.bound = str(ann_file), bound
        self.trim_pixel = is_trimmed(trim_pixel, add_pixel)
        self.truth = read_federated_json(ann_file)
        self._image = {int(i): place for place, i in enumerate(self.truth.image_ids)}
        self._id_of_name = dict(zip(self.truth.names, self.truth.category_ids.tolist()))
        self.groups = read_groups(groups, self._id_of_name, self.ann_file)
        self._asked: tuple[Query, np.ndarray] | None = None
        self.reset()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Takes over the predictions of a batch.

        Raises:
            UserError: A class name or image id that the annotation file lacks.
        """
        for sample in data_samples:
            image_id = known_image(sample['img_id'], self._image, self.ann_file)
            found = sample['pred_instances']
            boxes = found['bboxes'].detach().cpu().float().numpy().reshape(-1, 4)
            boxes = trim(boxes) if self.trim_pixel else boxes
            sides = boxes[:, 2:] - boxes[:, :2]
            labels = found['labels'].cpu().numpy()
            rows = self._rows_of(Query.of_sample(sample))
            self._wanted[rows] = True
            self._fewest = min(self._fewest, len(rows))
            self.spool.add(self._image[image_id], rows[labels],
                           np.concatenate([boxes[:, :2], sides], axis=1),
                           finite_scores(found['scores'].detach().cpu().float().numpy(), image_id))

    def state(self) -> tuple[Rows, np.ndarray, np.ndarray, int]:
        """What the spool kept, the images it saw, (C,) bool the classes asked for, and how many
        the sample that asks for the fewest has."""
        return self.spool.rows(), self.spool.seen, self._wanted, self._fewest

    def reset(self) -> None:
        """Starts a new spool."""
        self.spool = make_spool(len(self.truth.category_ids), self.bound)
        self._wanted = np.zeros(len(self.truth.category_ids), dtype=bool)
        self._fewest = len(self.truth.category_ids)

    def compute_metrics(self, results: list[tuple[Rows, np.ndarray, np.ndarray, int]]
                        ) -> dict[str, float]:
        """Scores what all processes found; without any prediction, over all images."""
        spool = make_spool(len(self.truth.category_ids), self.bound)
        wanted = np.zeros(len(self.truth.category_ids), dtype=bool)
        for rows, seen, asked, _ in results:
            spool.merge(rows, seen)
            wanted |= asked
        if not len(spool.seen):
            spool.merge(Rows.cat([]), np.arange(len(self.truth.image_ids)))
            wanted[:] = True
        asked_ids = self.truth.category_ids[wanted].tolist()
        self._name_protocol(len(spool.seen), asked_ids, min(fewest for *_, fewest in results))
        scores = lvis_ap(self.truth, spool, self.groups, asked_ids)
        metrics = dict(scores.overall)
        for group, group_scores in scores.groups.items():
            metrics.update({f'{group}_{name}': value for name, value in group_scores.items()})
        return metrics

    def _rows_of(self, query: Query) -> np.ndarray:
        """Index of the class of each name. Samples of a data set share their 1203 names."""
        if self._asked is None or self._asked[0] != query:
            ids = category_ids(query, self._id_of_name, self.ann_file)
            self._asked = query, np.searchsorted(self.truth.category_ids, ids)
        return self._asked[1]

    def _name_protocol(self, num_images: int, asked: Sequence[int], fewest: int) -> None:
        """Names what is computed; a part of the images is worth a warning."""
        total = len(self.truth.image_ids)
        edge = 'x2 - x1 - 1' if self.trim_pixel else 'x2 - x1'
        self.protocol = (
            f'{how_asked(self.groups, asked, fewest)}{protocol_name(self.spool)}, '
            f'box IoU 0.50:0.05:0.95, w = {edge}, {num_images} of {total} images, '
            f'{share_of_classes(len(asked), len(self.truth.names))}, {self.ann_file}')
        if num_images < total:
            print_log(f'Only {num_images} of {total} images of {self.ann_file} are scored',
                      'current', logging.WARNING)
