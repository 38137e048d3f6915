"""Recall of phrases: is the object that a phrase means among the best boxes for it?

Protocols of Flickr30k Entities (arXiv 1505.04870) as MDETR (arXiv 2104.12763, appendix D) names
them. Any-box: a box of the phrase is right if it overlaps any box of the ground truth by half or
more. Merged-box: the boxes of a phrase are first replaced by the one that encloses them.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glipkit.common.boxes import box_iou

#: Rank of a phrase that no box hits.
NEVER = np.iinfo(np.int32).max
MIN_IOU = 0.5


@dataclass(frozen=True)
class PhraseRecall:
    """Shares of phrases from 0 to 1; -1 where there is no phrase.

    Args:
        protocol: What was computed, in one line.
        overall: 'R@1', 'R@5', ... and 'R@all', the upper bound: some box of the phrase is right,
            whatever its score.
        per_type: Type of phrase -> the same scores over the phrases of that type.
        phrases: Number of phrases that were scored.
    """
    protocol: str
    overall: Mapping[str, float]
    per_type: Mapping[str, Mapping[str, float]]
    phrases: int


def first_hit(boxes: np.ndarray, scores: np.ndarray, targets: np.ndarray,
              merged: bool = False) -> int:
    """Rank of the best box that is right.

    Args:
        boxes: Boxes (N, 4) of one phrase, xyxy.
        scores: Scores (N,); equal ones rank in the given order.
        targets: Ground truth (G, 4) with G > 0, xyxy in the same frame. A box is x2 - x1 wide.
        merged: Whether to use the merged-box protocol.

    Returns:
        0 if the best scored box is right, 1 if the second is the first right one, and so on;
        `NEVER` if none is.
    """
    if merged:
        targets = np.concatenate([targets[:, :2].min(0), targets[:, 2:].max(0)])[None]
    order = np.argsort(-np.asarray(scores), kind='stable')
    right = (box_iou(np.asarray(boxes, np.float64).reshape(-1, 4)[order],
                  np.asarray(targets, np.float64)) >= MIN_IOU).any(1)
    return int(right.argmax()) if right.any() else NEVER


def phrase_recall(ranks: np.ndarray, types: Sequence[Sequence[str]] = (),
                  topk: Sequence[int] = (1, 5, 10), merged: bool = False) -> PhraseRecall:
    """Recall over phrases.

    Args:
        ranks: Ranks (P,) from `first_hit`; phrases without ground truth are not among them.
        types: Types of each phrase; empty where the annotations have none.
        topk: Numbers of best boxes that count.
        merged: Whether the ranks were made with the merged-box protocol.
    """
    ranks = np.asarray(ranks)
    members: dict[str, list[int]] = {}
    for place, names in enumerate(types):
        for name in dict.fromkeys(names):
            members.setdefault(name, []).append(place)
    name = 'merged-box' if merged else 'any-box'
    return PhraseRecall(
        protocol=f'phrase recall, {name}, IoU >= {MIN_IOU}, {len(ranks)} phrases with boxes',
        overall=_recalls(ranks, topk),
        per_type={name: _recalls(ranks[members[name]], topk) for name in sorted(members)},
        phrases=len(ranks))


def _recalls(ranks: np.ndarray, topk: Sequence[int]) -> dict[str, float]:
    bounds = {**{f'R@{k}': k for k in topk}, 'R@all': NEVER}
    return {name: float((ranks < k).mean()) if len(ranks) else -1. for name, k in bounds.items()}
