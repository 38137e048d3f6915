"""mmdet's habit: `python tools/test.py CONFIG ...`, the same as `glipkit test CONFIG ...`."""
import sys

from glipkit.cli.main import door

main = door('test')

if __name__ == '__main__':
    sys.exit(main())
