"""Average precision of described objects: D3, OmniLabel, or any set in their layouts."""
from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from glipkit.common.boxes import to_xywh
from glipkit.data.formats.descriptions import (
    CATEGORY,
    Descriptions,
    read_descriptions,
)
from glipkit.errors import UserError
from glipkit.evaluation.functional.description_ap import described_ap, omnilabel_ap
from glipkit.evaluation.metrics.array_metric import ArrayMetric
from glipkit.evaluation.metrics.classes import finite_scores, known_image
from glipkit.registry import METRICS
from glipkit.text.query import Query

_KEYS = ('image_id', 'description_id', 'bbox', 'score')


class _DescriptionMetric(ArrayMetric):
    """What both have in common: detections by image and description.

    A predicted label means a text of its sample, and the text finds the description among those of
    the image. The descriptions of one image may come in several samples.
    """

    def __init__(self, ann_file: str, groups_file: str | None, max_dets: int,
                 prefix: str | None, **kwargs: Any) -> None:
        super().__init__(prefix=prefix, **kwargs)
        if type(max_dets) is not int or max_dets < 1:
            raise UserError('max_dets of at least 1', repr(max_dets), 'pass e.g. 100')
        self.truth, self.max_dets = read_descriptions(ann_file, groups_file), max_dets
        self.reset()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Takes over the predictions of a batch.

        Raises:
            UserError: An image or a text that the file does not ask for.
        """
        for sample in data_samples:
            image_id = known_image(sample['img_id'], self.truth.asked, self.truth.path)
            known = self.truth.labels(image_id)
            found = sample['pred_instances']
            scores = finite_scores(found['scores'].detach().cpu().double().numpy(), image_id)
            boxes = to_xywh(found['bboxes'].detach().cpu().double().numpy().reshape(-1, 4))
            labels = found['labels'].cpu().numpy()
            query = Query.of_sample(sample)
            for label, text in enumerate(query.classes or (query.caption, )):
                if text not in known:
                    raise UserError(f'texts that {self.truth.path} asks of image {image_id}',
                                    repr(text), 'read the test set from the same files')
                own = np.flatnonzero(labels == label)
                own = own[np.argsort(-scores[own], kind='stable')[:self.max_dets]]
                for number in known[text]:
                    self._found[image_id, number] = boxes[own], scores[own]
            for number in self.truth.wordless(image_id):  # nobody can ask for it: nothing is found
                self._found[image_id, number] = boxes[:0], scores[:0]

    def state(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(P, 2) int64 the pairs that were asked, (P,) their numbers of detections; and of all
        detections, pair by pair, boxes (N, 4) xywh and scores (N,)."""
        boxes, scores = zip(*self._found.values()) if self._found else ((), ())
        return (np.array(list(self._found), dtype=np.int64).reshape(-1, 2),
                np.array([len(one) for one in scores], dtype=np.int64),
                np.concatenate([*boxes, np.zeros((0, 4))]),
                np.concatenate([*scores, np.zeros(0)]))

    def reset(self) -> None:
        """Removes all detections."""
        self._found: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def compute_metrics(self, results: list[tuple[np.ndarray, ...]]) -> dict[str, float]:
        """Scores over the pairs of all processes."""
        found = {}
        for pairs, counts, boxes, scores in results:
            ends = np.cumsum(counts)
            for pair, begin, end in zip(pairs.tolist(), ends - counts, ends):
                found[tuple(pair)] = boxes[begin:end], scores[begin:end]
        images = {pair[0] for pair in found}
        metrics, protocol = self.scores(
            sorted(images), set(found),
            [dict(zip(_KEYS, (*pair, box, score))) for pair, (boxes, scores) in found.items()
             for box, score in zip(boxes.tolist(), scores.tolist())])
        total = sum(map(len, self.truth.asked.values()))
        self.protocol = (f'{protocol}; {len(images)} of {len(self.truth.asked)} images, '
                         f'{len(found)} of {total} questions, {self.truth.path}')
        if len(found) < total:
            print_log('Only a part of the questions was asked', 'current', logging.WARNING)
        return metrics

    @abstractmethod
    def scores(self, images: list[int], pairs: set[tuple[int, int]],
               detections: list[dict]) -> tuple[dict[str, float], str]:
        """The metrics, and what they are.

        Args:
            images: Ids of the images that were asked, ascending.
            pairs: Image and description, of everything that was asked.
            detections: ``image_id``, ``description_id``, ``bbox`` xywh, ``score``.
        """


@METRICS.register_module()
class DescribedMetric(_DescriptionMetric):
    """D3's AP: COCO AP whose classes are descriptions, in three parts and by length.

    D3 scores three files, each by itself: all descriptions (FULL), those of something present
    (PRES), those of something absent, as "a person without a hat" (ABS).

    Metrics: d3/full_AP, AP50, AP75, full_AP_short (1 to 3 words), full_AP_mid (4 to 6),
    full_AP_long (7 to 9), full_AP_very_long (from 10); the same for each of ``parts``. From 0 to 1;
    -1 where there is no ground truth.

    Args:
        ann_file: The COCO json of all descriptions.
        parts: Name -> COCO json of some of these descriptions, with the same ids, as
            ``dict(pres='d3_pres_annotations.json', abs='d3_abs_annotations.json')``.
        groups_file: Json of the groups, see `DescribedDetection`; what the images were asked.
        max_dets: Best detections per image and description that count.
        prefix: Prefix of the names of metrics.
        **kwargs: Arguments collect_device and collect_dir of ``BaseMetric``.

    Raises:
        UserError: A file cannot be understood.
    """

    default_prefix = 'd3'
    #: Names of its scores, behind the prefix.
    score_pattern = r'.+_AP(50|75|_(short|mid|long|very_long))?'

    def __init__(self, ann_file: str, parts: Mapping[str, str] | None = None,
                 groups_file: str | None = None, max_dets: int = 100, prefix: str | None = None,
                 **kwargs: Any) -> None:
        super().__init__(ann_file, groups_file, max_dets, prefix, **kwargs)
        self.setting = 'inter-scenario' if groups_file is None else 'intra-scenario'
        self.parts = {'full': self.truth,
                      **{name: self._part(path) for name, path in (parts or {}).items()}}

    def _part(self, path: str) -> Descriptions:
        part = read_descriptions(path)
        unknown = [number for number, text in part.texts.items()
                   if self.truth.texts.get(number) != text]
        if unknown:
            raise UserError(f'descriptions of {self.truth.path} under the same ids',
                            f'{path}: {unknown[0]}', 'take the files of one release')
        return part

    def scores(self, images: list[int], pairs: set[tuple[int, int]],
               detections: list[dict]) -> tuple[dict[str, float], str]:
        """See the class."""
        found = [{**one, 'category_id': one['description_id']} for one in detections]
        metrics, protocol = {}, ''
        for name, part in self.parts.items():
            annotations = [{**one, 'category_id': number} for one in part.annotations
                           for number in one['description_ids']]
            scored = described_ap([i for i in images if i in part.images], part.texts,
                                  annotations, found, self.max_dets)
            metrics.update({f'{name}_{key}': value for key, value in scored.scores.items()})
            protocol = protocol or scored.protocol
        return metrics, f'D3, {self.setting}, {protocol}'


@METRICS.register_module()
class OmniLabelMetric(_DescriptionMetric):
    """OmniLabel's AP: the harmonic mean of AP over plain categories and over sentences.

    Metrics: omnilabel/AP, the harmonic mean; AP_categ, AP50_categ, AP75_categ, AP_descr,
    AP50_descr, AP75_descr; and of the sentences AP_descr_pos (of something in their image),
    AP_descr_s (up to 3 words), AP_descr_m (4 to 8), AP_descr_l (from 9). From 0 to 1; -1 where
    there is no ground truth. Definitions: :mod:`glipkit.evaluation.functional.description_ap`.

    Args:
        ann_file: OmniLabel's json of a validation set.
        max_dets: Best detections per image and description that count.
        prefix: Prefix of the names of metrics.
        **kwargs: Arguments collect_device and collect_dir of ``BaseMetric``.

    Raises:
        UserError: The file cannot be understood.
    """

    default_prefix = 'omnilabel'
    #: Names of its scores, behind the prefix.
    score_pattern = r'AP(50|75)?(_(categ|descr(_(pos|s|m|l))?))?'

    def __init__(self, ann_file: str, max_dets: int = 100, prefix: str | None = None,
                 **kwargs: Any) -> None:
        super().__init__(ann_file, None, max_dets, prefix, **kwargs)
        if not self.truth.kinds:
            raise UserError("OmniLabel's json, with descriptions", f'{ann_file}, which has none',
                            'score a COCO json of sentences with DescribedMetric')

    def scores(self, images: list[int], pairs: set[tuple[int, int]],
               detections: list[dict]) -> tuple[dict[str, float], str]:
        """See the class."""
        asked = [(i, number) for i in images for number in self.truth.asked[i]
                 if (i, number) in pairs]
        annotations = [{**one, 'description_id': number} for one in self.truth.annotations
                       for number in one['description_ids']]
        categories = {number for number, kind in self.truth.kinds.items() if kind == CATEGORY}
        scored = omnilabel_ap(asked, categories, self.truth.texts, annotations, detections,
                              self.max_dets)
        return dict(scored.scores), scored.protocol
