"""A habit: `things.py ...` is the same as `glipkit world things ...`."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glipkit.cli.main import door  # noqa: E402

main = door('world', 'things')

if __name__ == '__main__':
    sys.exit(main())
