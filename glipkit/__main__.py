"""``python -m glipkit``: the command line."""
from __future__ import annotations

from glipkit.cli.main import main

if __name__ == '__main__':
    raise SystemExit(main())
