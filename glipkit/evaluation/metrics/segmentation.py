"""Semantic and panoptic segmentation, from the samples of a test run."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from glipkit.errors import UserError
from glipkit.evaluation.functional.segmentation import (
    Segments,
    confusion_matrix,
    panoptic_counts,
    panoptic_scores,
    segmentation_scores,
)
from glipkit.evaluation.metrics.array_metric import ArrayMetric
from glipkit.evaluation.metrics.classes import how_asked, read_groups
from glipkit.registry import METRICS
from glipkit.text.query import Query

#: An image's id, the places of its counts in the table of all classes, and the counts.
_Counts = tuple[Any, np.ndarray, np.ndarray]


class _CountMetric(ArrayMetric):
    """Sums a table per image; only its numbers that are not 0 stay.

    Args:
        prefix: Prefix of the names of metrics.
        **kwargs: Arguments collect_device and collect_dir of ``BaseMetric``.
    """

    def __init__(self, prefix: str | None = None, **kwargs: Any) -> None:
        super().__init__(prefix=prefix, **kwargs)
        self.reset()

    def reset(self) -> None:
        """Removes all results."""
        self._names: tuple[str, ...] | None = None
        self._images: list[_Counts] = []
        self._more: Any = None

    def state(self) -> Any:
        """The names that are asked, what else is the same in all images, and their counts."""
        return self._names, self._more, self._images

    def _check_names(self, sample: dict) -> tuple[str, ...]:
        names = Query.of_sample(sample).classes
        if names is None or self._names not in (None, names):
            raise UserError('the same class names in every sample', repr(names)[:80],
                            'ask for all classes of the data set, without a caption')
        self._names = names
        return names

    def _add(self, sample: dict, table: np.ndarray) -> None:
        places = np.flatnonzero(table)
        self._images.append((sample['img_id'], places, table.ravel()[places]))

    @staticmethod
    def _sum(results: list, shape: tuple[int, ...]) -> tuple[np.ndarray, int]:
        """The sum of all tables, and of how many images; repeated ones count once."""
        images = {image[0]: image for _, _, found in results for image in found}.values()
        total = np.zeros(int(np.prod(shape)))
        for _, places, counts in images:
            total[places] += counts
        return total.reshape(shape), len(images)


@METRICS.register_module()
class SemanticMetric(_CountMetric):
    """Mean intersection over union of the classes of pixels.

    Samples hold ``gt_sem_seg.sem_seg`` (1, H, W), labels with -1 where nothing is scored, and
    ``pred_sem_seg.sem_seg`` (1, H, W); both in the original image.

    Metrics: segment/miou, mean_accuracy, accuracy, and for a group of classes
    segment/novel_miou etc.

    Args:
        groups: Name -> class names, or the path of a JSON file that holds it.
        prefix: Prefix of the names of metrics.
        **kwargs: Arguments collect_device and collect_dir of ``BaseMetric``.
    """

    default_prefix = 'segment'

    def __init__(self, groups: Mapping[str, Sequence[str]] | str | None = None,
                 prefix: str | None = None, **kwargs: Any) -> None:
        super().__init__(prefix, **kwargs)
        self.groups = groups

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Counts the pixels of a batch.

        Raises:
            UserError: Samples without labels of pixels, or of another size.
        """
        for sample in data_samples:
            names = self._check_names(sample)
            truth, found = (_pixels(sample, key) for key in ('gt_sem_seg', 'pred_sem_seg'))
            if truth.shape != found.shape:
                raise UserError(f'labels of {truth.shape[1]} x {truth.shape[0]} pixels',
                                f'{found.shape[1]} x {found.shape[0]} of {sample["img_path"]}',
                                'label the original image')
            self._add(sample, confusion_matrix(truth, found, len(names)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Scores what all processes counted."""
        names = next((names for names, *_ in results if names is not None), ())
        matrix, images = self._sum(results, (len(names), len(names)))
        groups = read_groups(self.groups, {name: i for i, name in enumerate(names)},
                             'the names asked for') if names else {}
        present = int((matrix.sum(1) > 0).sum())
        self.protocol = (
            f'{how_asked(groups, range(len(names)), len(names))}IoU of {int(matrix.sum())} pixels '
            f'of {images} images over {len(names)} names, {present} of them present')
        return segmentation_scores(matrix, groups)


def _pixels(sample: dict, key: str) -> np.ndarray:
    """(H, W) labels of a sample."""
    pixels = sample.get(key)
    if pixels is None:
        fix = ('read the data with glipkit.SemanticLabels and glipkit.LoadLabels'
               if key.startswith('gt') else 'test a model with a dense map')
        raise UserError(f'samples with {key}', f'none for {sample.get("img_path")}', fix)
    return pixels['sem_seg'][0].cpu().numpy()


@METRICS.register_module()
class PanopticMetric(_CountMetric):
    """Panoptic quality of masks that somebody gave, by the names that a model gives them.

    Samples hold ``gt_regions`` (ids, labels, crowds) with ``gt_segment_map.ids`` (1, H, W),
    ``pred_regions.labels`` of ``given_regions`` with ``given_segment_map``, or else of
    ``gt_regions`` without the crowds, and ``things``. Masks of one stuff class are one segment.

    Metrics: panoptic/pq, sq, rq, and the same for things and stuff, panoptic/thing_pq etc.
    """

    default_prefix = 'panoptic'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Matches the segments of a batch.

        Raises:
            UserError: Samples without segments, or without their labels.
        """
        for sample in data_samples:
            names, regions = self._check_names(sample), sample.get('gt_regions')
            labels = sample.get('pred_regions', {}).get('labels')
            if regions is None or labels is None:
                missing = 'gt_regions' if regions is None else 'pred_regions.labels'
                raise UserError('samples with gt_regions and pred_regions.labels',
                                f'no {missing} for {sample.get("img_path")}',
                                'read the data with glipkit.CocoPanoptic and glipkit.LoadSegments, '
                                'and test a model with a dense map')
            whose = 'given' if sample.get('given_regions') is not None else 'gt'
            self._more = things = (tuple(sample['things']), whose)
            ids = regions['ids'].tolist()
            crowds = {one for one, crowd in zip(ids, regions['crowds'].tolist()) if crowd}
            truth = Segments(_ids(sample, 'gt'), dict(zip(ids, regions['labels'].tolist())),
                             frozenset(crowds))
            named = {number: label for number, label in zip(
                sample[f'{whose}_regions']['ids'].tolist(), labels.tolist())
                if whose == 'given' or number not in crowds}
            found = joined_stuff(_ids(sample, whose), list(named), list(named.values()), things[0])
            self._add(sample, panoptic_counts(truth, found, len(names)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Scores what all processes matched."""
        names = next((names for names, *_ in results if names is not None), ())
        things, whose = next((more for _, more, _ in results if more is not None), ((), 'gt'))
        rows, images = self._sum(results, (len(names), 4))
        masks = 'given masks' if whose == 'given' else 'the annotated masks'
        self.protocol = (f'panoptic quality of {masks} of {images} images, named by the model '
                         f'over {len(names)} names')
        return panoptic_scores(rows, things)


def _ids(sample: dict, whose: str) -> np.ndarray:
    return sample[f'{whose}_segment_map']['ids'][0].cpu().numpy()


def joined_stuff(ids: np.ndarray, numbers: Sequence[int], labels: Sequence[int],
                 things: Sequence[bool]) -> Segments:
    """Named masks as segments; those of one stuff class become one.

    Args:
        ids: (H, W), the mask of every pixel.
        numbers: Ids of the masks.
        labels: Class of each.
        things: Whether each class is a thing.
    """
    first: dict[int, int] = {}
    joined = {number: number if things[label] else first.setdefault(label, number)
              for number, label in zip(numbers, labels)}
    present, places = np.unique(ids, return_inverse=True)
    targets = np.array([joined.get(number, 0) for number in present.tolist()], np.int64)
    return Segments(targets[places].reshape(ids.shape),
                    {joined[number]: label for number, label in zip(numbers, labels)})
