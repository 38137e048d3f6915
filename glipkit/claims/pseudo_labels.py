"""How right a teacher's boxes are where the truth is known, and what batching is worth.

Pictures and captions come from the shapes world, whose boxes are hidden from the teacher. A box is
right when it overlaps, at IoU 0.5, an object that its phrase names. The peer of the timing is
`Predictor`, called with one image and its caption at a time.
"""
from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.apis.build import checkpoint_for
from glipkit.apis.index import default_model
from glipkit.apis.predictor import Predictor
from glipkit.benchmarks.harness import alternate
from glipkit.common.boxes import box_iou
from glipkit.data.formats.captioned import CaptionedShard
from glipkit.errors import UserError
from glipkit.files import write_text
from glipkit.labelling.grounder import CaptionGrounder
from glipkit.labelling.settings import LabelSettings
from glipkit.text.phrases import extract_phrases
from glipkit.worlds import shapes

SUMMARY = 'precision of pseudo-labels, and throughput against single predictions'
EXAMPLES = '''examples:
  glipkit bench pseudo-labels
  glipkit bench pseudo-labels --pairs 1000 --rounds 3
'''


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--config', default=default_model(), help='teacher (default: %(default)s)')
    parser.add_argument('--checkpoint', help='default: the weights that come with glipkit')
    parser.add_argument('--pairs', type=int, default=300, help='pictures (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=1,
                        help='seed of the world (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=5,
                        help='rounds of timing (default: %(default)s)')
    parser.add_argument('--timed', type=int, default=64, help='pairs timed (default: %(default)s)')
    parser.add_argument('--thresholds', type=float, nargs='+',
                        default=[0.3, 0.4, 0.5, 0.6, 0.7],
                        help='thresholds of the table (default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Labels a world, compares it with its truth, and times batches against single images.

    Args:
        args: Arguments of `add_arguments`.

    Returns:
        ``setting``, ``notes`` and ``rows``, one per threshold; the timing is in the notes and,
        round by round, in ``timing``.

    Raises:
        UserError: Numbers that are not positive, or a teacher without weights.
    """
    if min(args.pairs, args.rounds, args.timed, *args.thresholds) <= 0:
        raise UserError('positive numbers', 'zero or less', 'pass larger ones')
    predictor = Predictor(args.config, checkpoint_for(args.config, args.checkpoint),
                          per_object='all')
    with tempfile.TemporaryDirectory() as folder:
        shapes.build(folder, args.seed, 1, args.pairs, 1)
        truth = hide_boxes(Path(folder))
        shard = CaptionedShard(Path(folder) / 'pairs.jsonl',
                               Path(folder) / 'images/train_grd')
        rows = _precision_rows(predictor, shard, truth, args.thresholds)
        timing = _time(predictor, shard, min(args.timed, args.pairs), args.rounds)
    single, batched = (timing[name].median for name in ('single', 'batched'))
    return {
        'setting': {'config': args.config, 'pairs': args.pairs, 'seed': args.seed},
        'rows': rows,
        'notes': [f'Labelling in batches takes {batched * 1000:.0f} ms a pair, calling the '
                  f'predictor image by image {single * 1000:.0f} ms: {single / batched:.2f}x.'],
        'timing': {name: value.as_dict() for name, value in timing.items()}}


def hide_boxes(folder: Path) -> dict[str, dict]:
    """Writes a world's image-caption pairs to its ``pairs.jsonl``.

    Args:
        folder: Folder of the world.

    Returns:
        File name -> object 'grounding' of its ODVG line, with the true regions.
    """
    lines = (folder / 'annotations/grd_train.jsonl').read_text(encoding='utf-8').splitlines()
    truth = {record['filename']: record['grounding'] for record in map(json.loads, lines)}
    pairs = [json.dumps({'filename': name, 'caption': grounding['caption']}) + '\n'
             for name, grounding in truth.items()]
    write_text(folder / 'pairs.jsonl', ''.join(pairs))
    return truth


def _precision_rows(predictor: Predictor, shard: CaptionedShard, truth: dict[str, dict],
                    thresholds: list[float]) -> list[dict[str, Any]]:
    rows = []
    for threshold in thresholds:
        labels = CaptionGrounder(predictor, LabelSettings(score=threshold)).label(
            shard, range(len(shard)))
        right = [hit for _, record in labels.lines for hit in hits(record, truth)]
        objects = sum(np.reshape(region['bbox'], (-1, 4)).shape[0]
                      for grounding in truth.values() for region in grounding['regions'])
        rows.append({'threshold': threshold, 'boxes': len(right),
                     'boxes per object named': round(len(right) / objects, 2),
                     'precision': round(float(np.mean(right)), 3) if right else 0.})
    return rows


def hits(record: dict, truth: dict[str, dict]) -> list[bool]:
    """Per box of a pseudo-label line, whether it overlaps an object that its phrase names.

    Args:
        record: Record of one line.
        truth: File name -> object 'grounding' of an ODVG line, with the true regions.
    """
    known = truth[record['filename']]
    found = []
    for region in record['grounding']['regions']:
        (begin, end), = region['tokens_positive']
        boxes = [box for other in known['regions']
                 if any(a < end and begin < b for a, b in other['tokens_positive'])
                 for box in np.reshape(other['bbox'], (-1, 4))]
        found += [bool(boxes) and bool(box_iou(np.array(box), np.array(boxes)).max() >= 0.5)
                  for box in region['bbox']]
    return found


def _time(predictor: Predictor, shard: CaptionedShard, count: int, rounds: int):
    """Seconds per pair, image by image and in batches."""
    grounder = CaptionGrounder(predictor, LabelSettings())
    pairs = [shard[row] for row in range(count)]

    def single() -> None:
        predictor.model.text_cache.clear()
        for pair in pairs:
            caption = pair.captions[0]
            spans = extract_phrases(caption, picture_words=False)
            predictor(pair.image, caption=caption, phrases=spans, score_threshold=0.5)

    def batched() -> None:
        predictor.model.text_cache.clear()
        grounder.label(shard, range(count))

    timings = alternate({'single': single, 'batched': batched}, rounds)
    return {name: type(timing)([s / count for s in timing.seconds])
            for name, timing in timings.items()}
