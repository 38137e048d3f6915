"""Make the stamps world: cut-out photographs of real things on photo-like backgrounds, with
detection annotations and captions. The photographs come from Debian's tuxpaint-stamps-default."""
from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glipkit.worlds import stamps  # noqa: E402
from glipkit.worlds.world_command import build_parser, run  # noqa: E402

EXAMPLES = """examples:
  python data_prep/stamps.py --out data/stamps                       (downloads with apt-get)
  python data_prep/stamps.py --out data/stamps --deb tuxpaint-stamps-default_2022.06.04-1_all.deb
  python data_prep/stamps.py --out data/stamps --stamps /usr/share/tuxpaint/stamps --seed 7"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser(__doc__, EXAMPLES, train_det=stamps.DEFAULT_TRAIN_DET,
                          train_grd=stamps.DEFAULT_TRAIN_GRD, val=stamps.DEFAULT_VAL,
                          image_size=stamps.DEFAULT_IMAGE_SIZE, seed=stamps.DEFAULT_SEED)
    parser.add_argument('--grouping', choices=list(stamps.GROUPINGS), default='all',
                        help='all things, or food: fruit to detect, vegetables in captions alone '
                             '(default: %(default)s)')
    source = parser.add_mutually_exclusive_group()
    source.add_argument('--deb', metavar='FILE',
                        help='the package file; without it and --stamps it is downloaded')
    source.add_argument('--stamps', dest='stamps_dir', metavar='DIR',
                        help='stamps folder, or folder of an unpacked package')
    return run(stamps.build, parser.parse_args(arguments))


if __name__ == '__main__':
    sys.exit(main())
