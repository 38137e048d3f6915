"""Accuracy on referring expressions: RefCOCO, RefCOCO+, RefCOCOg, or any set in their layouts."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from glipkit.data.formats.expressions import read_expressions
from glipkit.errors import UserError
from glipkit.evaluation.functional.phrase_recall import MIN_IOU, first_hit, phrase_recall
from glipkit.evaluation.metrics.array_metric import ArrayMetric
from glipkit.evaluation.metrics.classes import finite_scores, known_image
from glipkit.registry import METRICS


@METRICS.register_module()
class ReferringMetric(ArrayMetric):
    """Share of expressions whose object is among the best boxes (P@1, P@5, P@10).

    As MDETR (arXiv 2104.12763, section 4.2) and mmdet count: an expression is right at k if one of
    the k boxes with the best scores overlaps its box with an IoU of at least 0.5. One without any
    detection is wrong. ``pred_instances.bboxes`` are xyxy pixels of the original image with
    exclusive right and bottom edge, as x and x + w of the file are.

    Metrics: refexp/P@1, P@5, P@10, and P@all (some box is right, whatever its score); where the
    file holds several data sets (``dataset_name``), those of each too, as refexp/refcoco+_P@1.
    From 0 to 1; -1 where there is no expression.

    Args:
        ann_file: The json file, see `ReferringExpressions`.
        instances_file: For a list of references: the COCO json with their boxes.
        split: For one: the split that is scored; None for all.
        topk: Numbers of best boxes that count.
        prefix: Prefix of the names of metrics.
        **kwargs: Arguments collect_device and collect_dir of ``BaseMetric``.

    Raises:
        UserError: The file cannot be understood, or topk is no list of positive numbers.
    """

    default_prefix = 'refexp'
    #: Names of its scores, behind the prefix.
    score_pattern = r'(.+_)?P@(\d+|all)'

    def __init__(self, ann_file: str, instances_file: str | None = None, split: str | None = None,
                 topk: Sequence[int] = (1, 5, 10), prefix: str | None = None,
                 **kwargs: Any) -> None:
        super().__init__(prefix=prefix, **kwargs)
        if not topk or not all(type(k) is int and k > 0 for k in topk):
            raise UserError('topk as a list of positive whole numbers', repr(topk),
                            'pass e.g. topk=(1, 5, 10)')
        self.ann_file, self.split, self.topk = str(ann_file), split, tuple(topk)
        self.expressions = read_expressions(ann_file, instances_file, split)
        self.reset()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Ranks the boxes of a batch.

        Raises:
            UserError: A sample of another file, or a score that is not finite.
        """
        for sample in data_samples:
            number = known_image(sample['img_id'], self.expressions, self.ann_file)
            found = sample['pred_instances']
            scores = finite_scores(found['scores'].detach().cpu().numpy(), number)
            boxes = found['bboxes'].detach().cpu().double().numpy().reshape(-1, 4)
            self._ranks[number] = first_hit(boxes, scores,
                                            np.array([self.expressions[number].box]))

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """Id (P,) and rank (P,) of each expression."""
        return (np.array(list(self._ranks), dtype=np.int64),
                np.array(list(self._ranks.values()), dtype=np.int32))

    def reset(self) -> None:
        """Removes all ranks."""
        self._ranks: dict[int, int] = {}

    def compute_metrics(self, results: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
        """Shares over the expressions of all processes."""
        ranks = {number: rank for numbers, found in results
                 for number, rank in zip(numbers.tolist(), found.tolist())}
        names = [self.expressions[number].data_set for number in ranks]
        several = len({one.data_set for one in self.expressions.values()}) > 1
        shares = phrase_recall(np.array(list(ranks.values()), dtype=np.int64),
                               [[name] if name and several else [] for name in names], self.topk)
        split = f', split {self.split}' if self.split else ''
        self.protocol = (f'accuracy on referring expressions, IoU >= {MIN_IOU}, {len(ranks)} of '
                         f'{len(self.expressions)} expressions, {self.ann_file}{split}')
        metrics = {name.replace('R@', 'P@'): value for name, value in shares.overall.items()}
        for name, values in shares.per_type.items():
            metrics.update({f'{name}_{key.replace("R@", "P@")}': value
                            for key, value in values.items()})
        return metrics
