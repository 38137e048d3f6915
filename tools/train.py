"""mmdet's habit: `python tools/train.py CONFIG ...`, the same as `glipkit train CONFIG ...`."""
import sys

from glipkit.cli.main import door

main = door('train')

if __name__ == '__main__':
    sys.exit(main())
