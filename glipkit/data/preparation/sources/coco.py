"""COCO: instances json without masks; in training only boxes that a model can use."""
from __future__ import annotations

import argparse

from glipkit.data.preparation import Preparation
from glipkit.data.preparation.detection import leave_out, read_coco
from glipkit.data.preparation.detection_output import write_set
from glipkit.errors import UserError

EXAMPLES = """examples:
  glipkit prepare coco --train instances_train2017.json --val instances_val2017.json \\
      --out data/coco_clean
  glipkit prepare coco --train instances_train2017.json --leave-out lvis_v1_val.json \\
      --out data/coco_rest --check-images data/coco/train2017"""


def prepare(options: argparse.Namespace) -> Preparation:
    """Writes ``annotations/coco_train.json`` and ``annotations/coco_val.json``.

    Ids of categories, images and annotations are those of the source.
    """
    if not (options.train or options.val):
        raise UserError('--train, --val or both', 'neither', 'name an instances json')
    prep = Preparation(options.out, 'coco', redo=options.redo)
    if options.train:
        write_set(prep, 'annotations/coco_train', [options.train, *options.leave_out], {},
                  lambda step: leave_out(step, read_coco(step, options.train), options.leave_out))
    if options.val:
        write_set(prep, 'annotations/coco_val', [options.val], {},
                  lambda step: read_coco(step, options.val), clean=False)
    return prep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this source."""
    parser.add_argument('--train', metavar='FILE', help='instances json to clean for training')
    parser.add_argument('--val', metavar='FILE',
                        help='instances json to evaluate on; every box stays')
    parser.add_argument('--leave-out', nargs='+', default=[], metavar='FILE',
                        help='json files whose images the training set shall not hold (COCO, LVIS, '
                        'or a list of image ids)')
