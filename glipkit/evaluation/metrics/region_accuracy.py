"""Accuracy of naming given regions, boxes or masks, from the samples of a test run."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from glipkit.errors import UserError
from glipkit.evaluation.functional.region_accuracy import TOP, region_accuracy, true_ranks
from glipkit.evaluation.metrics.array_metric import ArrayMetric
from glipkit.evaluation.metrics.classes import finite_scores, how_asked, read_groups
from glipkit.registry import METRICS
from glipkit.text.query import Query

#: Kind of regions that do not say what they are.
BOX = 'box'
#: Fields of ``pred_regions`` with scores of the same regions, found in different ways.
WAYS = ('box_scores', 'crop_scores', 'mask_scores')


@METRICS.register_module()
class RegionAccuracyMetric(ArrayMetric):
    """Top-1 and top-5 of given regions over all names, and the mean over classes.

    A sample's ``pred_regions.scores`` (N, K) hold, for each of its true regions, a score of every
    name of its ``text``; the true labels are those of ``gt_regions``, or of ``gt_instances`` where
    there is none. ``gt_regions.kinds``, a list of N words such as 'thing_mask' or 'stuff_mask',
    gives every kind its own numbers; without it all regions are boxes. Every sample asks for the
    same names. In place of ``scores`` there may be ``box_scores``, ``crop_scores`` and
    ``mask_scores``, of the same regions looked at in three ways: kinds then are 'thing_box',
    'thing_crop' etc.

    Metrics: region/top1, top5, mean_top1, mean_top5, with several kinds region/thing_mask_top1
    etc. for each as well, and for a group of classes region/novel_top1 etc.

    Args:
        groups: Name -> class names, the path of a JSON file that holds it, or 'ov-coco',
            'ov-lvis': their base and novel classes.
        top: How many best names may hold the right one.
        prefix: Prefix of the names of metrics.
        **kwargs: Arguments collect_device and collect_dir of ``BaseMetric``.
    """

    default_prefix = 'region'

    def __init__(self, groups: Mapping[str, Sequence[str]] | str | None = None,
                 top: Sequence[int] = TOP, prefix: str | None = None, **kwargs: Any) -> None:
        super().__init__(prefix=prefix, **kwargs)
        self.groups, self.top = groups, tuple(top)
        self.reset()

    def reset(self) -> None:
        """Removes all results."""
        self._names: tuple[str, ...] | None = None
        self._images: list[tuple[Any, np.ndarray, np.ndarray, list[str]]] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Takes over the scores of a batch; a rank per region is all that stays.

        Raises:
            UserError: Samples without scores, scores of other regions or names, or not finite.
        """
        for sample in data_samples:
            names = self._check_names(Query.of_sample(sample))
            truth = sample.get('gt_regions') or sample['gt_instances']
            labels = truth['labels'].cpu().numpy()
            kinds = list(truth.get('kinds') or [BOX] * len(labels))
            found = sample.get('pred_regions', {})
            ways = {way: found.get(way) for way in WAYS if found.get(way) is not None}
            ranks, every = [], []
            for way, scores in (ways or {'scores': found.get('scores')}).items():
                ranks.append(true_ranks(self._check(scores, labels, names, sample), labels))
                every += [f'{kind}_{way.removesuffix("_scores")}' for kind in kinds] if ways \
                    else kinds
            self._images.append((sample['img_id'], np.concatenate(ranks),
                                 np.tile(labels, len(ranks)), every))

    def _check(self, scores: Any, labels: np.ndarray, names: tuple[str, ...],
               sample: dict) -> np.ndarray:
        """Scores (N, K) as an array."""
        if scores is None or tuple(scores.shape) != (len(labels), len(names)):
            got = 'none' if scores is None else f'shape {tuple(scores.shape)}'
            raise UserError(f'pred_regions.scores of shape ({len(labels)}, {len(names)}): '
                            'regions and names', f'{got} for img_id {sample["img_id"]}',
                            'test a model that names given regions')
        return finite_scores(scores.detach().cpu().float().numpy(), sample['img_id'])

    def state(self) -> Any:
        """The names that are asked, and per image its id, ranks, labels and kinds of regions."""
        return self._names, self._images

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Scores what all processes found."""
        names = next((names for names, _ in results if names is not None), ())
        # Distributed samplers repeat images to even out the ranks.
        images = {image[0]: image for _, images in results for image in images}.values()
        ranks, labels = (np.concatenate([image[part] for image in images] or [np.zeros(0, int)])
                         for part in (1, 2))
        kinds = np.array([kind for image in images for kind in image[3]], dtype=object)
        groups = read_groups(self.groups, {name: i for i, name in enumerate(names)},
                             'the names asked for') if names else {}
        whole = region_accuracy(ranks, labels, len(names), groups, self.top)
        self.protocol = (
            f'{how_asked(groups, range(len(names)), len(names))}accuracy of {whole.regions} given '
            f'regions of {len(images)} images over {len(names)} names, chance {whole.chance:.4f}')
        metrics = dict(whole.overall)
        for group, scores in whole.groups.items():
            metrics.update({f'{group}_{name}': value for name, value in scores.items()})
        different = dict.fromkeys(kinds.tolist())
        for kind in different if len(different) > 1 else ():
            part = region_accuracy(ranks[kinds == kind], labels[kinds == kind], len(names),
                                   top=self.top)
            metrics.update({f'{kind}_{name}': value for name, value in part.overall.items()})
        return metrics

    def _check_names(self, query: Query) -> tuple[str, ...]:
        names = query.classes
        if names is None or self._names not in (None, names):
            raise UserError('the same class names in every sample', repr(query.text)[:80],
                            'ask for all classes of the data set, without a caption')
        self._names = names
        return names
