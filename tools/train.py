"""mmdet's habit: `python tools/train.py CONFIG ...`, the same as `glipkit train CONFIG ...`."""
import sys

from glipkit.cli.main import main

if __name__ == '__main__':
    sys.exit(main(['train', *sys.argv[1:]]))
