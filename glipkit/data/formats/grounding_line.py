"""Captions with regions: the object 'grounding' of a line, and how regions become phrases."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from glipkit.data import sample_keys as keys
from glipkit.data.formats.phrase_spans import checked_spans, find_phrase
from glipkit.data.formats.reading import as_box, clip_box
from glipkit.errors import UserError

Spans = Sequence[tuple[int, int]]


def group_regions(caption: str, regions: Iterable[tuple[Spans, list[list[float]]]], clip: tuple,
                  dropped: Counter) -> dict:
    """Text, phrases and instances of a sample.

    Regions with the same spans are one phrase; phrases stand in the order of the regions.

    Args:
        caption: Text of the sample.
        regions: Spans of each region in ascending order and its boxes, exclusive xyxy.
        clip: Size (width, height) of the image, None where unknown.
        dropped: Counter of what is left out.
    """
    label_of: dict[tuple, int] = {}
    instances: list[dict] = []
    for spans, boxes in regions:
        if not spans:
            dropped['regions whose phrase is not in the caption'] += 1
            continue
        label = label_of.setdefault(tuple(spans), len(label_of))
        for box in boxes:
            append_box(instances, box, label, clip, dropped)
    return {keys.TEXT: caption, keys.PHRASES: [list(spans) for spans in label_of],
            keys.INSTANCES: instances}


def append_box(instances: list[dict], box: list[float], label: int, clip: tuple,
               dropped: Counter) -> None:
    """Appends a box clipped to the image, or counts it where nothing of it is left."""
    clipped = clip_box(box, *clip)
    if clipped is None:
        dropped['degenerate boxes'] += 1
    else:
        instances.append(dict(bbox=clipped, bbox_label=label, ignore_flag=0))


def parse_grounding(record: Mapping, what: str, clip: tuple, where: str, dropped: Counter,
                    score_thr: float | None = None) -> dict:
    """Text, phrases and instances of the object 'grounding' of a line.

    Phrases without a box that may be in the image all the same (``ungrounded``, or with low scores
    alone) are kept apart, so that training does not take their words as absent.

    Args:
        record: ``caption`` and ``regions``, optionally ``ungrounded`` with spans.
        what: Kind of the file, for errors.
        clip: (width, height) of the image, None where unknown.
        where: File and line, for errors.
        dropped: Counts what is left out.
        score_thr: Boxes with a score of at most this are left out, and phrases with no box above
            it; None asks for no scores.

    Raises:
        UserError: Another structure; names ``where``.
    """
    caption = record.get('caption')
    if not isinstance(caption, str):
        raise UserError(f'{what}: a caption', f'{where}: {caption!r}', 'add the caption')
    ungrounded = list(checked_spans(caption, record.get('ungrounded', []), where))
    regions = []
    for region in objects(record, 'regions', what, where):
        spans = _spans(caption, region, what, where)
        boxes = _boxes(region, where)
        if score_thr is not None:
            scores = _scores(region, len(boxes), what, where)
            kept = [box for box, score in zip(boxes, scores) if score > score_thr]
            dropped[f'boxes with scores up to {score_thr}'] += len(boxes) - len(kept)
            if boxes and not kept:
                ungrounded += spans
                continue
            boxes = kept
        regions.append((spans, boxes))
    sample = group_regions(caption, regions, clip, dropped)
    found = [span for spans in sample[keys.PHRASES] for span in spans]
    left = sorted({(a, b) for a, b in ungrounded if not any(a < d and c < b for c, d in found)})
    return sample | ({keys.UNGROUNDED: left} if left else {})


def objects(parent: Mapping, key: str, what: str, where: str) -> list[dict]:
    """The list of objects under a key; empty where there is none.

    Raises:
        UserError: Something else stands there.
    """
    records = parent.get(key, [])
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise UserError(f'{what}: a list of objects {key!r}', f'{where}: another structure',
                        'repair the line')
    return records


def _spans(caption: str, region: Mapping, what: str, where: str) -> list[tuple[int, int]]:
    if region.get('tokens_positive') is not None:
        return checked_spans(caption, region['tokens_positive'], where)
    phrase = region.get('phrase')
    parts = [phrase] if isinstance(phrase, str) else phrase
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise UserError(f'{what}: a region with phrase or tokens_positive', f'{where}: {phrase!r}',
                        'add one of the two')
    return sorted({span for part in parts for span in find_phrase(caption, part)})


def _boxes(region: Mapping, where: str) -> list[list[float]]:
    boxes = region.get('bbox')
    if not (isinstance(boxes, list) and all(isinstance(box, list) for box in boxes)):
        boxes = [boxes]
    return [as_box(box, where, 'x1, y1, x2, y2') for box in boxes]


def _scores(region: Mapping, count: int, what: str, where: str) -> list[float]:
    """One score per box; a single number is that of all of them."""
    value: Any = region.get('score')
    scores = value if isinstance(value, list) else [value] * count
    numbers = all(type(score) in (int, float) and 0 <= score <= 1 for score in scores)
    if len(scores) != count or not numbers:
        raise UserError(f'{what}: a region with a score from 0 to 1, or one per box',
                        f'{where}: {value!r}', 'add the scores, or pass score_thr=None')
    return scores
