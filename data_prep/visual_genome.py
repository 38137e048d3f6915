"""A habit: `visual_genome.py ...` is the same as `glipkit prepare visual-genome ...`."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glipkit.cli.main import door  # noqa: E402

main = door('prepare', 'visual-genome')

if __name__ == '__main__':
    sys.exit(main())
