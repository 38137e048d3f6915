"""``glipkit env``: what a bug report needs to know about this installation."""
from __future__ import annotations

import argparse

from glipkit.cli._command import add_command

EXAMPLES = '''examples:
  glipkit env                  # print one screen to paste into a bug report
  glipkit env --json           # the same for programs
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = add_command(subparsers, 'env', EXAMPLES)
    parser.add_argument('--json', action='store_true', help='print JSON')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    import json

    from glipkit.apis.environment import collect, render
    report = collect()
    print(json.dumps(report, indent=2) if args.json else render(report))
    return 0
