"""A habit: `python tools/demo.py ...`, the same as `glipkit demo ...`."""
import sys

from glipkit.cli.main import door

main = door('demo')

if __name__ == '__main__':
    sys.exit(main())
