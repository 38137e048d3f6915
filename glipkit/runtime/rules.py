"""From the outputs of a graph to detections, in the order of the model's own prediction.

``rules`` of a file says what its outputs are:

* ``kind='anchors'``: ``boxes`` (P, N, 4), ``scores`` (P, N, K), probabilities of the K labels of
  each of P prompts, ``centerness`` (P, N) and ``level`` (N,). A pair of an anchor and a label whose
  label score is above ``score_threshold`` scores sqrt(score x centerness); of each prompt and level
  the ``nms_pre`` best ones count. With ``labels`` these are the labels of each prompt's columns;
  without, they follow the prompt's start.
* ``kind='regions'``: ``boxes`` (N, 4) and ``scores`` (N, K). Every pair above ``score_threshold``
  counts.
* ``kind='levels'``: the same and ``level`` (N,): of each level the ``nms_pre`` best pairs count, if
  something of their box is inside the image.

Then each label is suppressed by itself (``nms_iou``), and the best ``max_per_image`` stay, with
``keep_ties`` all that score as much as the last of them. Boxes are xyxy pixels of the graph's
image; with ``edge=1`` the pixels at their right and bottom edges belong to them.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from glipkit.common.boxes import nms
from glipkit.common.settling import settle, settle_learned

Outputs = Mapping[str, np.ndarray]


class Found(NamedTuple):
    """Boxes (M, 4), scores and labels (M,), best first."""
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def detections(outputs: Outputs, rules: Mapping[str, Any], starts: Sequence[int],
               size: tuple[int, int]) -> Found:
    """Detections in the graph's image.

    Args:
        outputs: Of a graph that does not suppress.
        rules: See the module.
        starts: Label at which each prompt starts.
        size: (height, width) of the image without padding.
    """
    found = _CANDIDATES[rules['kind']](outputs, rules, starts)
    height, width = (side - rules['edge'] for side in size)
    boxes = found.boxes.clip(0, np.array([width, height, width, height], np.float32))
    if rules['kind'] == 'levels':
        real = (boxes[:, 2:] > boxes[:, :2]).all(1)
        found, boxes = Found(boxes[real], found.scores[real], found.labels[real]), boxes[real]
    kept = nms(boxes, found.scores, rules['nms_iou'], found.labels)
    scores, limit = found.scores[kept], rules['max_per_image']
    if len(kept) > limit:
        kept = kept[scores >= scores[limit - 1]] if rules['keep_ties'] else kept[:limit]
    return Found(boxes[kept], found.scores[kept], found.labels[kept])


def in_original(found: Found, rules: Mapping[str, Any], scale: tuple[float, float],
                size: tuple[int, int]) -> Found:
    """Detections of the graph's image in the original one, with exclusive edges.

    Args:
        found: Detections.
        rules: See the module.
        scale: (width, height) of the graph's image over those of the original.
        size: (height, width) of the original.
    """
    boxes = found.boxes / np.array([*scale, *scale], np.float32)
    boxes = boxes + np.array([0, 0, rules['edge'], rules['edge']], np.float32)
    height, width = size
    boxes = boxes.clip(0, np.array([width, height, width, height], np.float32))
    if rules['edge']:
        return Found(boxes, found.scores, found.labels)
    real = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return Found(boxes[real], found.scores[real], found.labels[real])


def settled(found: Found, classes: int, groups: Sequence[Sequence[int]],
            learned: Sequence[int] = (), avoided: int | None = None) -> Found:
    """What stays beside negatives and in exclusive groups, as in a detector's mode ``predict``.

    Args:
        found: Detections in the original image.
        classes: Number of classes; labels from it on are negatives.
        groups: Labels of which one object has one.
        learned: Labels of names that were learned from examples.
        avoided: Label from which on all are what was learned not to be found; None for no such.
    """
    if avoided is not None:
        kept, scores = settle_learned(found.boxes, found.scores, found.labels, learned, avoided)
        found = Found(found.boxes[kept], scores, found.labels[kept])
    kept = settle(found.boxes, found.scores, found.labels, classes, groups)
    return Found(*(one[kept] for one in found))


def _of_anchors(outputs: Outputs, rules: Mapping[str, Any], starts: Sequence[int]) -> Found:
    parts = []
    # Labels of the columns of each prompt, where they do not follow each other.
    table = rules.get('labels')
    for prompt, (boxes, scores, centerness, start) in enumerate(zip(
            outputs['boxes'], outputs['scores'], outputs['centerness'], starts)):
        anchors, labels = (scores > np.float32(rules['score_threshold'])).nonzero()
        product = scores[anchors, labels] * centerness[anchors]
        level = outputs['level'][anchors]
        for number in range(int(outputs['level'].max(initial=-1)) + 1):
            own = np.flatnonzero(level == number)
            if len(own) > rules['nms_pre']:
                own = own[np.argsort(-product[own], kind='stable')[:rules['nms_pre']]]
            named = labels[own] + start if table is None else \
                np.array(table[prompt], np.int64)[labels[own]]
            parts.append(Found(boxes[anchors[own]], np.sqrt(product[own]), named))
    return Found(*map(np.concatenate, zip(*parts)))


def _of_regions(outputs: Outputs, rules: Mapping[str, Any], starts: Sequence[int]) -> Found:
    boxes, scores = outputs['boxes'], outputs['scores']
    stays = np.isfinite(boxes).all(1) & np.isfinite(scores).all(1)
    regions, labels = ((scores > np.float32(rules['score_threshold'])) & stays[:, None]).nonzero()
    return Found(boxes[regions], scores[regions, labels], labels)


def _of_levels(outputs: Outputs, rules: Mapping[str, Any], starts: Sequence[int]) -> Found:
    boxes, scores, level = outputs['boxes'], outputs['scores'], outputs['level']
    parts = []
    for number in range(int(level.max(initial=-1)) + 1):
        own = level == number
        found = _of_regions(dict(boxes=boxes[own], scores=scores[own]), rules, starts)
        best = np.argsort(-found.scores, kind='stable')[:rules['nms_pre']]
        parts.append(Found(found.boxes[best], found.scores[best], found.labels[best]))
    return Found(*map(np.concatenate, zip(*parts)))


_CANDIDATES: dict[str, Callable[..., Found]] = {
    'anchors': _of_anchors, 'regions': _of_regions, 'levels': _of_levels}
