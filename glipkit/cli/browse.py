"""``glipkit browse``: look at captions with their boxes."""
from __future__ import annotations

import argparse

from glipkit.cli._command import add_command

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
    shown = browse(args.shard, args.out, args.images, args.start, args.count)
    print(f'{shown} samples in {args.out}')
    return 0
