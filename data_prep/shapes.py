"""Make the shapes world: pictures, detection annotations and captions, from a seed alone."""
from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glipkit.worlds import shapes  # noqa: E402
from glipkit.worlds.world_command import build_parser, run  # noqa: E402

EXAMPLES = """examples:
  python data_prep/shapes.py --out data/shapes
  python data_prep/shapes.py --out data/shapes_big --train-det 20000 --train-grd 20000 --val 1000
  python data_prep/shapes.py --out data/shapes_other --seed 7 --image-size 256"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = build_parser(__doc__, EXAMPLES, train_det=shapes.DEFAULT_TRAIN_DET,
                          train_grd=shapes.DEFAULT_TRAIN_GRD, val=shapes.DEFAULT_VAL,
                          image_size=shapes.DEFAULT_IMAGE_SIZE, seed=shapes.DEFAULT_SEED)
    return run(shapes.build, parser.parse_args(arguments))


if __name__ == '__main__':
    sys.exit(main())
