"""A habit: `flickr30k.py ...` is the same as `glipkit prepare flickr30k ...`."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from glipkit.cli.main import door  # noqa: E402

main = door('prepare', 'flickr30k')

if __name__ == '__main__':
    sys.exit(main())
