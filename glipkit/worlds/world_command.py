"""What the commands that make worlds share: their options and their report."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from glipkit.errors import UserError


def build_parser(description: str, examples: str, train_det: int, train_grd: int, val: int,
                 image_size: int, seed: int) -> argparse.ArgumentParser:
    """Options common to all worlds, with the given defaults; names match the build functions."""
    parser = argparse.ArgumentParser(description=description, epilog=examples,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', required=True, metavar='DIR', dest='out_dir',
                        help='folder of the world; a complete one with the same settings is kept')
    for option, name, default, text in (
            ('--train-det', 'num_train_det', train_det, 'detection pictures for training'),
            ('--train-grd', 'num_train_grd', train_grd, 'captioned pictures for training'),
            ('--val', 'num_val', val, 'validation pictures'),
            ('--image-size', 'image_size', image_size, 'side of the pictures in pixels'),
            ('--seed', 'seed', seed, 'seed of all chance')):
        parser.add_argument(option, dest=name, type=int, default=default, metavar='N',
                            help=f'{text} (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=None, metavar='N',
                        help='processes that draw; no effect on the result (default: up to 2)')
    return parser


def run(build: Callable[..., dict[str, Any]], options: argparse.Namespace) -> int:
    """Build a world and report its counts.

    Returns:
        The exit code: 0, or 2 for bad input or unusable paths, told in one line.
    """
    try:
        manifest = build(**vars(options), progress=sys.stderr.isatty())
    except (UserError, OSError) as error:
        sys.stderr.write(f'error: {error}\n')
        return 2
    sys.stdout.write(report(options.out_dir, manifest))
    return 0


def report(out_dir: str, manifest: dict[str, Any]) -> str:
    """A small table of what a world holds."""
    lines = [f'{manifest["world"]} world in {out_dir}']
    for split, counts in manifest['counts'].items():
        regions = f', {counts["regions"]} phrases' if 'regions' in counts else ''
        lines.append(f'  {split}: {counts["pictures"]} pictures, {counts["boxes"]} boxes{regions}')
        for group, numbers in counts.items():
            if isinstance(numbers, dict):
                lines.append(f'    {group}: {numbers["boxes"]} boxes of {numbers["categories"]} '
                             f'categories, at least {numbers["rarest_category"]} each')
    return '\n'.join(lines) + '\n'
