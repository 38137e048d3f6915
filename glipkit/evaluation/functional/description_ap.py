"""Average precision of described objects, as D3 and OmniLabel define it.

D3 (arXiv 2307.12813, section 4): COCO AP whose classes are the descriptions, so that each
description counts the same. OmniLabel (arXiv 2304.11463, section 4): all pairs of an image and one
of its descriptions are ranked together, as one class; AP of plain categories and of sentences are
joined by their harmonic mean, so that neither can make up for the other.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glipkit.evaluation.functional.coco_ap import coco_ap

#: Name of a length of D3 -> least and largest number of words, as its toolkit counts them.
LENGTHS = {'short': (1, 3), 'mid': (4, 6), 'long': (7, 9), 'very_long': (10, np.inf)}
#: Name of a length of OmniLabel -> the same.
OMNILABEL_LENGTHS = {'descr_s': (0, 3), 'descr_m': (4, 8), 'descr_l': (9, np.inf)}
_SHOWN = ('AP', 'AP50', 'AP75')
#: Added to the denominator of the harmonic mean, as in the benchmark's own code.
_TINY = 1e-5

Pair = tuple[int, int]
"""Image id and description id."""


@dataclass(frozen=True)
class DescriptionAP:
    """Scores from 0 to 1; -1 where there is no ground truth.

    Args:
        scores: Name of a score -> its value.
        protocol: What was computed, in one line.
    """
    scores: Mapping[str, float]
    protocol: str


def described_ap(images: Sequence[int], texts: Mapping[int, str], annotations: Sequence[Mapping],
                 detections: Sequence[Mapping], max_dets: int = 100) -> DescriptionAP:
    """D3's AP: COCO AP over descriptions as classes, and its means by length.

    Args:
        images: Ids of the images to score.
        texts: Id of a description -> its text; these count.
        annotations: ``image_id``, ``category_id`` (a description), ``bbox`` xywh, and optionally
            ``area`` and ``iscrowd``.
        detections: ``image_id``, ``category_id``, ``bbox`` xywh and ``score``.
        max_dets: Best detections per image and description that count.

    Returns:
        AP, AP50, AP75; and AP_short (1 to 3 words between blanks), AP_mid (4 to 6), AP_long (7 to
        9), AP_very_long (from 10): means of the AP of the descriptions with that many words.
    """
    found = coco_ap(images, list(texts), annotations, detections, max_dets=max_dets)
    scores = {name: found.overall[name] for name in _SHOWN}
    words = {number: len(text.split(' ')) for number, text in texts.items()}
    for name, (least, most) in LENGTHS.items():
        values = [one['AP'] for number, one in found.per_class.items()
                  if least <= words[number] <= most and one['AP'] > -1]
        scores[f'AP_{name}'] = float(np.mean(values)) if values else -1.
    return DescriptionAP(scores, found.protocol.replace('class,', 'description,'))


def omnilabel_ap(pairs: Sequence[Pair], categories: set[int], texts: Mapping[int, str],
                 annotations: Sequence[Mapping], detections: Sequence[Mapping],
                 max_dets: int = 100) -> DescriptionAP:
    """OmniLabel's AP of categories, of sentences and of parts of these.

    Args:
        pairs: What was asked: image and description, in the order in which equal scores rank.
        categories: Ids of the descriptions that are plain categories; all others are sentences.
        texts: Id of a description -> its text.
        annotations: ``image_id``, ``description_id``, ``bbox`` xywh, and optionally ``iscrowd``.
        detections: ``image_id``, ``description_id``, ``bbox`` xywh and ``score``.
        max_dets: Best detections of a pair that count.

    Returns:
        AP, the harmonic mean of AP_categ and AP_descr (-1 where one has no ground truth); AP50 and
        AP75 of both; AP_descr_pos over the sentences that mean something in their image;
        AP_descr_s (up to 3 words), AP_descr_m (4 to 8), AP_descr_l (from 9).
    """
    positive = {(a['image_id'], a['description_id']) for a in annotations}
    words = {number: len(text.split()) for number, text in texts.items()}
    sentences = [pair for pair in pairs if pair[1] not in categories]
    chosen = {'categ': [pair for pair in pairs if pair[1] in categories], 'descr': sentences,
              'descr_pos': [pair for pair in sentences if pair in positive],
              **{name: [pair for pair in sentences if least <= words[pair[1]] <= most]
                 for name, (least, most) in OMNILABEL_LENGTHS.items()}}
    scores: dict[str, float] = {}
    for name, members in chosen.items():
        found = _pooled(members, annotations, detections, max_dets)
        scores[f'AP_{name}'] = found['AP']
        if name in ('categ', 'descr'):
            scores.update({f'{key}_{name}': found[key] for key in ('AP50', 'AP75')})
    both = scores['AP_categ'], scores['AP_descr']
    mean = 2 * both[0] * both[1] / (sum(both) + _TINY) if min(both) > -1 else -1.
    return DescriptionAP(
        {'AP': mean, **scores},
        f'OmniLabel AP, harmonic mean of {len(chosen["categ"])} pairs of an image and a category '
        f'and {len(sentences)} of an image and a sentence, IoU 0.50:0.05:0.95, at most {max_dets} '
        'detections per pair')


def _pooled(pairs: Sequence[Pair], annotations: Sequence[Mapping],
            detections: Sequence[Mapping], max_dets: int) -> Mapping[str, float]:
    """COCO scores of pairs as images of one class: boxes match within a pair, scores rank all."""
    place = {pair: number for number, pair in enumerate(pairs)}

    def own(records: Sequence[Mapping], *keys: str) -> list[dict]:
        return [dict(image_id=place[pair], category_id=1, **{key: r.get(key) for key in keys})
                for r in records if (pair := (r['image_id'], r['description_id'])) in place]

    return coco_ap(list(place.values()), [1], own(annotations, 'bbox', 'iscrowd'),
                   own(detections, 'bbox', 'score'), max_dets=max_dets).overall
