"""``glipkit world``: pictures with boxes and captions to try things on, made from a seed."""
from __future__ import annotations

import argparse
import importlib
from functools import partial
from typing import Any

from glipkit.cli._command import add_command
from glipkit.errors import UserError

# What each world is, so that `glipkit world --help` need not import any of them.
WORLDS = {
    'shapes': 'coloured, textured shapes on cluttered backgrounds, drawn here',
    'things': 'plain shapes of two sizes, named by colour and shape',
    'stamps': 'photographs of real things, cut out, on photo-like backgrounds',
}

DESCRIPTION = '''Makes a world: pictures, detection annotations and captions, whose names are split
into seen, unseen and caption only. A seed gives the same pictures on every machine.'''

EXAMPLES = '''examples:
  glipkit world shapes --out data/shapes
  glipkit world things --out data/things
  glipkit world stamps --out data/stamps
  glipkit world NAME --help
'''

WORLD_EXAMPLES = {
    'shapes': '''examples:
  glipkit world shapes --out data/shapes
  glipkit world shapes --out data/shapes_big --train-det 20000 --train-grd 20000 --val 1000
  glipkit world shapes --out data/shapes_other --seed 7 --image-size 256
''',
    'things': '''examples:
  glipkit world things --out data/things
''',
    'stamps': '''examples:
  glipkit world stamps --out data/stamps
  glipkit world stamps --out data/stamps --deb tuxpaint-stamps-default_2022.06.04-1_all.deb
  glipkit world stamps --out data/stamps --stamps /usr/share/tuxpaint/stamps --seed 7

The photographs are those of Debian's package tuxpaint-stamps-default. Without --deb and --stamps
the package is downloaded with apt-get.
''',
}

#: Options of every world, as the build functions call them.
COMMON = ('seed', 'num_train_det', 'num_train_grd', 'num_val', 'image_size', 'masks',
          'workers')
OWN = {'shapes': (), 'things': (), 'stamps': ('stamps_dir', 'deb', 'grouping')}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = add_command(subparsers, 'world', EXAMPLES, DESCRIPTION)
    names = parser.add_subparsers(dest='world', metavar='NAME', required=True)
    for name, summary in WORLDS.items():
        names.add_parser(name, help=summary, description=f'Makes a world of {summary}.',
                         epilog=WORLD_EXAMPLES[name], complete=partial(_add_arguments, name),
                         formatter_class=argparse.RawDescriptionHelpFormatter)


def _add_arguments(name: str, parser: argparse.ArgumentParser) -> None:
    module = importlib.import_module(f'glipkit.worlds.{name}')
    parser.add_argument('--out', required=True, metavar='DIR', dest='out_dir',
                        help='folder of the world; a complete one with the same settings is kept')
    for option, dest, default, text in (
            ('--train-det', 'num_train_det', module.DEFAULT_TRAIN_DET,
             'detection pictures for training'),
            ('--train-grd', 'num_train_grd', module.DEFAULT_TRAIN_GRD,
             'captioned pictures for training'),
            ('--val', 'num_val', module.DEFAULT_VAL, 'validation pictures'),
            ('--image-size', 'image_size', module.DEFAULT_IMAGE_SIZE,
             'side of the pictures in pixels'),
            ('--seed', 'seed', module.DEFAULT_SEED, 'random seed')):
        parser.add_argument(option, dest=dest, type=int, default=default, metavar='N',
                            help=f'{text} (default: %(default)s)')
    parser.add_argument('--masks', action='store_true',
                        help='write the pixels of things too, as panoptic files and label PNGs')
    parser.add_argument('--workers', type=int, default=None, metavar='N',
                        help='processes that draw; no effect on the result (default: up to 2)')
    if name == 'stamps':
        parser.add_argument('--grouping', choices=list(module.GROUPINGS), default='all',
                            help='all things, or food: fruit to detect, vegetables in captions '
                                 'alone (default: %(default)s)')
        package = parser.add_mutually_exclusive_group()
        package.add_argument('--deb', metavar='FILE', help='the package file')
        package.add_argument('--stamps', dest='stamps_dir', metavar='DIR',
                             help='stamps folder, or folder of an unpacked package')
    parser.set_defaults(run=run, build=module.build, prog=parser.prog)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    given = {name: getattr(args, name) for name in (*COMMON, *OWN[args.world])}
    try:
        manifest = args.build(args.out_dir, **given)
    except OSError as error:
        raise UserError('files that can be read and written', str(error),
                        'check the paths and the free space') from error
    print(report(args.out_dir, manifest))
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
    return '\n'.join(lines)
