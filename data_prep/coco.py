"""COCO: instances json without masks; in training only boxes that a model can use."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glipkit.data.preparation import Preparation, preparation_parser, run  # noqa: E402
from glipkit.data.preparation.detection import leave_out, read_coco  # noqa: E402
from glipkit.data.preparation.detection_output import write_set  # noqa: E402
from glipkit.errors import UserError  # noqa: E402

EXAMPLES = """examples:
  python data_prep/coco.py --train instances_train2017.json --val instances_val2017.json \\
      --out data/coco_clean
  python data_prep/coco.py --train instances_train2017.json --leave-out lvis_v1_val.json \\
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


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = preparation_parser(__doc__, EXAMPLES)
    parser.add_argument('--train', metavar='FILE', help='instances json to clean for training')
    parser.add_argument('--val', metavar='FILE',
                        help='instances json to evaluate on; every box stays')
    parser.add_argument('--leave-out', nargs='+', default=[], metavar='FILE',
                        help='json files whose images the training set shall not hold (COCO, LVIS, '
                        'or a list of image ids)')
    return run(parser, arguments, prepare)


if __name__ == '__main__':
    sys.exit(main())
