"""``glipkit odinw``: object detection in the wild, one model on 13, 35 or 100 data sets."""
from __future__ import annotations

import argparse
from pathlib import Path

from glipkit.cli._command import add_command

EXAMPLES = '''examples:
  glipkit odinw data/odinw --out work_dirs/odinw
  glipkit odinw data/odinw --model glip-t-c --checkpoint glip-t-c.safetensors --out zero_shot
  glipkit odinw data/odinw --strategy prompt --shots 5 --seeds 3,30,300 --out work_dirs/prompt5
  glipkit odinw data/odinw --profile 35 --only pothole Aquarium --out work_dirs/two
  glipkit odinw data/rf100-vl --profile rf100-vl --model glip-t --out work_dirs/rf100
  glipkit odinw data/stamps --strategy full --shots 5 --out work_dirs/stamps
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    from glipkit.cli.tune import add_recipe_arguments
    parser = add_command(subparsers, 'odinw', EXAMPLES)
    parser.add_argument('root', type=Path, metavar='DIR',
                        help='folder of the unpacked release (ODinW, or Roboflow100-VL with '
                             '--profile rf100-vl), or of a world that glipkit world has made')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='for results')
    parser.add_argument('--profile', choices=['13-paper', '13-yaml', '35', 'rf100-vl', 'world'],
                        help="data sets, splits and prompts (default: world where DIR is one, with "
                             "a data set per kind of thing; else 13-paper)")
    parser.add_argument('--strategy', default='zero-shot',
                        help='zero-shot, or as for glipkit tune (default: %(default)s)')
    parser.add_argument('--only', nargs='+', default=[], metavar='NAME', help='these data sets')
    add_recipe_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from mmengine.dist import is_main_process

    from glipkit.cli.tune import read_seeds
    from glipkit.odinw.benchmark import OdinwSettings, run_odinw
    from glipkit.odinw.scoreboard_files import scoreboard_markdown
    settings = OdinwSettings(
        root=args.root, out=args.out, profile=args.profile, strategy=args.strategy,
        model=args.model, checkpoint=args.checkpoint, shots=args.shots,
        seeds=read_seeds(args), only=tuple(args.only), options=args.options, device=args.device,
        workers=args.workers)
    board, skipped = run_odinw(settings)
    if is_main_process():
        print(scoreboard_markdown(board, skipped))
        print(f'saved to {args.out}')
    return 0
