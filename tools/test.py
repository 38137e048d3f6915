"""mmdet's habit: `python tools/test.py CONFIG ...`, the same as `glipkit test CONFIG ...`."""
import sys

from glipkit.cli.main import main

if __name__ == '__main__':
    sys.exit(main(['test', *sys.argv[1:]]))
