"""What tiles bring for small things in large pictures, and whether a seam doubles any."""
from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from glipkit.apis.build import checkpoint_for
from glipkit.apis.detections import Detections
from glipkit.apis.predictor import Predictor
from glipkit.apis.sahi_model import sahi_model
from glipkit.apis.tile_windows import OVERLAP, Tiles
from glipkit.common.boxes import box_area, to_xywh
from glipkit.common.reporter import track
from glipkit.errors import UserError
from glipkit.evaluation.functional.coco_ap import coco_ap
from glipkit.worlds.scenes import draw_large

SUMMARY = 'what tiles bring for small things in large pictures'
EXAMPLES = '''examples:
  glipkit bench tiles
  glipkit bench tiles --pictures 8 --tile 400 --out bench
'''
MODEL = 'glip-mini'
#: Group of things -> their names, how many a picture has, and whether they are drawn for a tile (or
#: else for the whole picture). Small ones have room in the overlap of two tiles, medium ones have
#: not, so that some are cut by every tile; a large one is larger than a tile.
GROUPS = {
    'large': (('large purple plain circle', 'large orange striped square'), 4, False),
    'medium': (('large red dotted cross', 'large blue plain triangle'), 16, True),
    'small': (('small red plain circle', 'small blue striped star', 'small green dotted square',
               'small yellow plain triangle'), 50, True)}
NAMES = tuple(name for names, _, _ in GROUPS.values() for name in names)
#: Two boxes of one name on one thing: each has more than this share of itself inside the thing.
INSIDE = .5
NOTES = (
    'Small things have room in the overlap of two tiles; medium ones have not, and some are cut by '
    'every tile; large ones are larger than a tile.',
    'Doubled: things with more than one box of their name, of those above the model\'s threshold; '
    'a box counts for a thing if more than half of it lies inside, so pieces count too.',
    'supervision and SAHI join the same tiles by their own rules; supervision sees no whole image.')


@dataclass(frozen=True)
class Scene:
    """A picture and its things.

    Args:
        image: (H, W, 3) uint8 RGB.
        names: Name of each thing.
        boxes: (N, 4) xyxy.
    """
    image: np.ndarray
    names: tuple[str, ...]
    boxes: np.ndarray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--pictures', type=int, default=4, metavar='N',
                        help='(default: %(default)s)')
    parser.add_argument('--size', default='3000x2000', metavar='WxH',
                        help='of the pictures (default: %(default)s)')
    parser.add_argument('--tile', type=int, default=400, metavar='N',
                        help='side of the tiles in pixels (default: %(default)s)')
    parser.add_argument('--overlap', type=float, default=OVERLAP, metavar='SHARE',
                        help='(default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='(default: %(default)s)')
    parser.add_argument('--device', default='cpu', help='(default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Draws pictures and looks for their things in several ways.

    Args:
        args: Arguments of `add_arguments`.

    Returns:
        ``setting``, ``notes`` and ``rows``, one per way.

    Raises:
        UserError: Impossible numbers.
    """
    tiles = Tiles(args.tile, args.overlap)
    width, height = _size(args.size)
    if args.pictures < 1 or args.seed < 0 or height > width:
        raise UserError('--pictures from 1, --seed from 0, and a --size at least as wide as high',
                        f'{args.pictures}, {args.seed}, {args.size}', 'change them')
    rng = np.random.default_rng(args.seed)
    scenes = [draw_scene(width, height, args.tile, rng)
              for _ in track(range(args.pictures), 'drawing', unit='picture')]
    predictor = Predictor(MODEL, checkpoint_for(MODEL), args.device, score_threshold=0.,
                          channel_order='rgb', batch_size=4)
    shown = Predictor(predictor.model).score_threshold
    rows = [_row(name, way, scenes, shown, args.pictures)
            for name, way in ways(predictor, tiles).items()]
    return {'setting': {'config': MODEL, 'pictures': args.pictures, 'size': args.size,
                        'tile': args.tile, 'overlap': args.overlap,
                        'things': sum(len(scene.names) for scene in scenes)},
            'rows': rows, 'notes': [*NOTES]}


def draw_scene(width: int, height: int, tile: int, rng: np.random.Generator) -> Scene:
    """A picture of things of each group, the large ones below."""
    names, frames = [], []
    for own, count, in_tile in GROUPS.values():
        names += [str(name) for name in rng.choice(own, count)]
        frames += [tile if in_tile else height] * count
    image, things = draw_large(names, frames, width, height, rng)
    return Scene(image, tuple(name for name, _ in things),
                 np.array([box for _, box in things], np.float32).reshape(-1, 4))


def ways(predictor: Predictor, tiles: Tiles) -> Mapping[str, Callable[[np.ndarray], Detections]]:
    """Name -> what finds the things of a picture: without tiles, with them, and as others do."""
    names = list(NAMES)
    ask = partial(_first, predictor, names)
    found: dict[str, Callable[[np.ndarray], Detections]] = {
        'whole image': ask,
        'glipkit tiles': partial(ask, tile=tiles.side, overlap=tiles.overlap)}
    for metric in ('IOU', 'IOS'):
        found[f'supervision, NMS by {metric}'] = partial(_supervision, ask, tiles, metric, names)
    if find_spec('sahi') is not None:
        found['SAHI, as it comes'] = partial(_sahi, sahi_model(predictor, names), tiles, names)
    return found


def _first(predictor: Predictor, names: Sequence[str], image: np.ndarray, **asked: Any
           ) -> Detections:
    found, = predictor(image, names, **asked)
    return found


def _supervision(ask: Callable[[np.ndarray], Detections], tiles: Tiles, metric: str,
                 names: Sequence[str], image: np.ndarray) -> Detections:
    import supervision
    slicer = supervision.InferenceSlicer(
        lambda tile: ask(tile).to_supervision(), slice_wh=tiles.side, overlap_wh=tiles.shared,
        overlap_filter=supervision.OverlapFilter.NON_MAX_SUPPRESSION, iou_threshold=.5,
        overlap_metric=supervision.OverlapMetric[metric])
    found = slicer(image)
    return _as_detections(found.xyxy, found.confidence, found.class_id, names, image)


def _sahi(model: Any, tiles: Tiles, names: Sequence[str], image: np.ndarray) -> Detections:
    from sahi.predict import get_sliced_prediction
    # Its default joining switches itself off for the low threshold that AP is computed at.
    things = get_sliced_prediction(
        image, model, tiles.side, tiles.side, tiles.overlap, tiles.overlap, verbose=0,
        force_postprocess_type=True).object_prediction_list
    return _as_detections(np.array([one.bbox.to_xyxy() for one in things]),
                          np.array([one.score.value for one in things]),
                          np.array([one.category.id for one in things]), names, image)


def _as_detections(boxes: Any, scores: Any, labels: Any, names: Sequence[str], image: np.ndarray
                   ) -> Detections:
    return Detections(np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(scores, np.float32),
                      np.asarray(labels, np.int64), tuple(names), image.shape[:2])


def _row(name: str, way: Callable[[np.ndarray], Detections], scenes: Sequence[Scene], shown: float,
         count: int) -> dict[str, Any]:
    begin = time.perf_counter()
    found = [way(scene.image) for scene in track(scenes, name, unit='picture')]
    seconds = (time.perf_counter() - begin) / count
    truth = [dict(image_id=i, category_id=NAMES.index(one), bbox=to_xywh(box).tolist())
             for i, scene in enumerate(scenes) for one, box in zip(scene.names, scene.boxes)]
    results = [row for i, one in enumerate(found) for row in one.to_coco(i)]
    groups = {group: [NAMES.index(one) for one in own] for group, (own, _, _) in GROUPS.items()}
    scores = coco_ap(range(len(scenes)), range(len(NAMES)), truth, results, groups,
                     max_dets=300).groups
    seen = [_times_found(scene, one[one.scores >= shown]) for scene, one in zip(scenes, found)]
    times = np.concatenate(seen)
    return {'way': name, **{f'AP {group}': round(100 * scores[group]['AP'], 1)
                            for group in reversed(GROUPS)},
            'found': f'{(times > 0).sum()} of {len(times)}', 'doubled': int((times > 1).sum()),
            's per picture': round(seconds, 1)}


def _times_found(scene: Scene, found: Detections) -> np.ndarray:
    """(N,) boxes of its name on each thing."""
    corners = np.concatenate([np.maximum(scene.boxes[:, None, :2], found.boxes[None, :, :2]),
                              np.minimum(scene.boxes[:, None, 2:], found.boxes[None, :, 2:])], -1)
    inside = box_area(corners) > INSIDE * box_area(found.boxes)
    same = np.array(scene.names, dtype=str)[:, None] == np.array(found.names, dtype=str)
    return (inside & same).sum(1)


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split('x')
    if len(parts) != 2 or not all(part.isdecimal() and int(part) >= 64 for part in parts):
        raise UserError('a size as 3000x2000', repr(text), 'write width x height in pixels')
    return int(parts[0]), int(parts[1])
