"""A habit: `imagenet_boxes.py ...` is the same as `glipkit prepare imagenet-boxes ...`."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glipkit.cli.main import door  # noqa: E402

main = door('prepare', 'imagenet-boxes')

if __name__ == '__main__':
    sys.exit(main())
