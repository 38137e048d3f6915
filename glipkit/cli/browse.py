"""``glipkit browse``: look at captions with their boxes."""
from __future__ import annotations

import argparse
import sys

from glipkit.cli._command import add_command
from glipkit.common.reporter import ConsoleReporter, reporting

EXAMPLES = '''examples:
  glipkit browse pseudo/00000-00000.jsonl --images photos/
  glipkit browse cc3m_pseudo/ --start 1000 --count 24 --out look.html
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = add_command(subparsers, 'browse', EXAMPLES)
    parser.add_argument('shard', help='a .jsonl or .tar of captions with boxes, or their folder')
    parser.add_argument('--images', metavar='DIR', help='folder of the images that .jsonl name')
    parser.add_argument('--out', default='browse.html', help='the page (default: %(default)s)')
    parser.add_argument('--start', type=int, default=0, help='first sample (default: %(default)s)')
    parser.add_argument('--count', type=int, default=48, help='(default: %(default)s)')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from glipkit.reports.browse import browse
    with reporting(_Counting()) as reporter:
        shown = browse(args.shard, args.out, args.images, args.start, args.count)
    print(f'{shown} samples in {args.out}')
    return 1 if reporter.left_out else 0


class _Counting(ConsoleReporter):
    """Tells what was left out on standard error, and counts it."""

    def __init__(self) -> None:
        super().__init__(notes=sys.stderr)
        self.left_out = 0

    def note(self, text: str) -> None:
        """Tells one line."""
        super().note(text)
        self.left_out += text.startswith('left out sample ')
