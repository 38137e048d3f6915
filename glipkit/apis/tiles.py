"""An image in overlapping tiles, so that small things are seen large, and one list of boxes again.

What a tile shows is detected in the tile's own pixels; so is the whole image, for what is larger
than a tile. A thing at a seam is seen by several tiles, by some of them only in part. Two boxes of
one class are the same thing if they agree where both tiles look: cut to what both see, they
overlap. So a part finds its whole, and the halves of what no tile sees whole find each other, while
neighbours and things inside others stay apart, which overlap of the whole boxes does not tell.
Thresholds and rules were chosen on the pictures of ``glipkit bench tiles``.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from glipkit.apis.asking import Question
from glipkit.apis.batches import Pipelines, Prepared, as_read, pack_image, picture_of, read_image
from glipkit.apis.detections import Detections
from glipkit.apis.images import ImageSource
from glipkit.apis.tile_windows import Tiles
from glipkit.common.boxes import box_area
from glipkit.common.settling import settle

#: Two boxes, cut to what both windows see, are one thing above this intersection over union ...
SAME = .5
#: ... and where a tile cuts one of them, above this share of the smaller one: of a thing that is
#: mostly hidden, edges are guessed.
SAME_CUT = .7
#: Share of a tile's side from its edge up to which a box counts as cut by it, and the least pixels.
EDGE, LEAST_EDGE = .02, 2.
#: A box that was seen whole goes before parts of it with up to so many times its score: it knows
#: where the thing ends. Below that it is hardly a box of the thing.
TRUST = 3.


def answer_in_tiles(pipelines: Pipelines, source: ImageSource, question: Question, batch_size: int,
                    detect: Callable[..., list[Detections]]) -> Detections:
    """Detections of one image that is seen as a whole and in tiles.

    Args:
        pipelines: From `build_pipelines`.
        source: The image.
        question: What it is asked, with its tiles.
        batch_size: Tiles that go through the model together.
        detect: `Predictor.detect`.

    Raises:
        UserError: The image cannot be read.
    """
    order, bare = question.channel_order, replace(source, pixels=None)
    lowest = question.shown.lowest_score(question.names)

    def detect_all(images: Sequence[np.ndarray]) -> list[Detections]:
        found: list[Detections] = []
        for begin in range(0, len(images), batch_size):
            batch: list[Prepared] = [
                pack_image(pipelines, as_read(np.ascontiguousarray(one), source), bare,
                           question.query, question.names, order, question.category_ids)
                for one in images[begin:begin + batch_size]]
            found += detect(batch, lowest, question.model, 'all')
        return found

    image = read_image(pipelines, source, order)['img']
    found = detect_in_tiles(image, question.tiles, detect_all)
    found = replace(found, image=picture_of(source, order))
    if question.query.exclusive:  # each tile has chosen for itself
        found = found[settle(found.boxes, found.scores, found.labels, len(found.classes),
                             question.query.groups)]
    return question.shown.choose(found)


def detect_in_tiles(image: np.ndarray, tiles: Tiles, detect: Callable[
        [Sequence[np.ndarray]], list[Detections]]) -> Detections:
    """What is found in an image and in its tiles, as one list.

    Args:
        image: (H, W, 3).
        tiles: Size and overlap.
        detect: Finds things in some images, with every label of each object; gets the whole image
            and its tiles.

    Returns:
        Boxes in pixels of the image, best first.
    """
    windows = tiles.windows(*image.shape[:2])
    found = detect([image[top:bottom, left:right] for left, top, right, bottom in windows])
    if len(windows) == 1:
        return found[0]
    # Of what some tile sees whole, the tile's box is the better one.
    small = (found[0].boxes[:, 2:] - found[0].boxes[:, :2]).max(1, initial=0) <= tiles.shared
    return merge([found[0][~small], *found[1:]], windows)


def merge(found: Sequence[Detections], windows: np.ndarray) -> Detections:
    """Detections of windows of one image, each thing once.

    Args:
        found: Detections of each window, in its pixels; the first window is the whole image.
        windows: (W, 4) xyxy in pixels of the image.
    """
    counts = [len(one) for one in found]
    window = np.repeat(windows, counts, axis=0).astype(np.float32)
    boxes = np.concatenate([one.boxes for one in found]) + window[:, [0, 1, 0, 1]]
    scores = np.concatenate([one.scores for one in found])
    labels = np.concatenate([one.labels for one in found])
    cut = _cut(boxes, window, windows[0])
    order = np.argsort(-np.where(cut, scores / TRUST, scores), kind='stable')
    order = order[~_of_giants(boxes, scores, labels, counts[0], windows)[order]]
    kept = []
    for label in np.unique(labels):
        rest = order[labels[order] == label]
        while len(rest):
            first = rest[0]
            rest, members = _take(first, rest[1:], boxes, window, cut)
            if cut[first]:
                parts = boxes[[one for one in members if cut[one]]]
                boxes[first] = [*parts[:, :2].min(0), *parts[:, 2:].max(0)]
            scores[first] = scores[members].max()
            kept.append(first)
    order = np.array(kept, int)
    order = order[np.argsort(-scores[order], kind='stable')]
    return replace(found[0], boxes=boxes[order], scores=scores[order], labels=labels[order])


def _take(first: int, rest: np.ndarray, boxes: np.ndarray, window: np.ndarray,
          cut: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """What is left when all that is one thing with the first has been taken, and what was taken.

    What is cut itself goes on to its next part: a long thing may go through many tiles.
    """
    members, ask = [first], [first]
    while ask and len(rest):
        one = ask.pop()
        same = _agree(one, rest, boxes, window, cut)
        members += rest[same].tolist()
        if cut[first]:
            ask += rest[same & cut[rest]].tolist()
        rest = rest[~same]
    return rest, members


def _of_giants(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, whole: int,
               windows: np.ndarray) -> np.ndarray:
    """(N,) which boxes lie in a thing of their class that is larger than a tile, and surer.

    A tile sees nothing but a piece of such a thing, and a piece may look like a thing.

    Args:
        boxes: (N, 4), of which the first come from the whole image.
        scores: (N,).
        labels: (N,).
        whole: How many come from the whole image.
        windows: (W, 4), the whole image first.
    """
    side = (windows[1:, 2:] - windows[1:, :2]).min() if len(windows) > 1 else np.inf
    pieces = np.zeros(len(boxes), bool)
    for i in np.flatnonzero((boxes[:whole, 2:] - boxes[:whole, :2]).max(1, initial=0) > side):
        inside = np.concatenate([np.maximum(boxes[:, :2], boxes[i, :2]),
                                 np.minimum(boxes[:, 2:], boxes[i, 2:])], 1)
        pieces |= ((box_area(inside) > SAME_CUT * box_area(boxes)) & (labels == labels[i])
                   & (scores < scores[i]) & (np.arange(len(boxes)) >= whole))
    return pieces


def _cut(boxes: np.ndarray, window: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """(N,) whether a box ends at an edge of its window that is not one of the image."""
    sides = (window[:, 2:] - window[:, :2])[:, [0, 1, 0, 1]]
    near = np.abs(boxes - window) <= np.maximum(EDGE * sides, LEAST_EDGE)
    return (near & (np.abs(window - whole) > 0)).any(1)


def _agree(one: int, others: np.ndarray, boxes: np.ndarray, window: np.ndarray,
           cut: np.ndarray) -> np.ndarray:
    """(M,) whether a box and each of the others are the same thing where both windows look."""
    low = np.maximum(window[one, :2], window[others, :2])
    high = np.minimum(window[one, 2:], window[others, 2:])
    here, there = (np.concatenate([np.maximum(b[..., :2], low), np.minimum(b[..., 2:], high)], 1)
                   for b in (boxes[[one]], boxes[others]))
    common = box_area(np.concatenate([np.maximum(here[:, :2], there[:, :2]),
                                      np.minimum(here[:, 2:], there[:, 2:])], 1))
    areas = box_area(here), box_area(there)
    union, smaller = areas[0] + areas[1] - common, np.minimum(*areas)
    is_cut = cut[one] | cut[others]
    same = np.where(is_cut, common > SAME_CUT * smaller, common > SAME * union)
    # A window has sorted its own boxes out.
    return same & (common > 0) & (window[one] != window[others]).any(1)
