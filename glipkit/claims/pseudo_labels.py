"""How right a teacher's boxes are where the truth is known.

Pictures and captions come from the shapes world, whose boxes are hidden from the teacher. A box is
right when it overlaps, at IoU 0.5, an object that its phrase names.
"""
from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.apis.build import checkpoint_for
from glipkit.apis.index import default_model
from glipkit.apis.predictor import Predictor
from glipkit.common.boxes import box_iou
from glipkit.data.formats.captioned import CaptionedShard
from glipkit.errors import UserError
from glipkit.labelling.grounder import CaptionGrounder
from glipkit.labelling.settings import LabelSettings
from glipkit.worlds import shapes
from glipkit.worlds.pairs import hide_boxes

SUMMARY = 'precision of pseudo-labels where the truth is known'
EXAMPLES = '''examples:
  glipkit bench pseudo-labels
  glipkit bench pseudo-labels --pairs 1000
'''


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--config', default=default_model(), help='teacher (default: %(default)s)')
    parser.add_argument('--checkpoint', help='default: the weights that come with glipkit')
    parser.add_argument('--pairs', type=int, default=300, help='pictures (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=1,
                        help='seed of the world (default: %(default)s)')
    parser.add_argument('--thresholds', type=float, nargs='+',
                        default=[0.3, 0.4, 0.5, 0.6, 0.7],
                        help='thresholds of the table (default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Labels a world and compares it with its truth.

    Args:
        args: Arguments of `add_arguments`.

    Returns:
        ``setting`` and ``rows``, one per threshold.

    Raises:
        UserError: Numbers that are not positive, or a teacher without weights.
    """
    if min(args.pairs, *args.thresholds) <= 0:
        raise UserError('positive numbers', 'zero or less', 'pass larger ones')
    predictor = Predictor(args.config, checkpoint_for(args.config, args.checkpoint),
                          per_object='all')
    with tempfile.TemporaryDirectory() as folder:
        shapes.build(folder, args.seed, 1, args.pairs, 1)
        truth = hide_boxes(Path(folder))
        shard = CaptionedShard(Path(folder) / 'pairs.jsonl',
                               Path(folder) / 'images/train_grd')
        rows = _precision_rows(predictor, shard, truth, args.thresholds)
    return {'setting': {'config': args.config, 'pairs': args.pairs, 'seed': args.seed},
            'rows': rows}


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

