"""What CLIPSelf's distillation brings, on drawn things and photographs: a proof in miniature.

Wu et al., "CLIPSelf: Vision Transformer Distills Itself for Open-Vocabulary Dense Prediction",
ICLR 2024. A small CLIP with an image transformer learns names from pictures of one thing each; its
map of whole pictures knows nearly none of them, a CNN's does. The transformer's own view of crops
teaches the map. A control whose crops are shuffled, weights between both, a detector on either
tower, and the pixels of things show what that is good for.

Everything of every seed is a unit in OUT/clipself. The same command resumes with the unit that an
earlier one was in, at its newest checkpoint. Seeds do not depend on each other: several processes
may each work at other seeds of one OUT, and a later call with all seeds collects what they did.
"""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from glipkit.apis.training import load_config
from glipkit.claims.clipself_picture import draw_before_after, first_pictures
from glipkit.claims.clipself_units import (
    CHOSEN,
    CROP_SCALE,
    PIXEL_PICTURES,
    REGIONS,
    SIDE,
    Setup,
    make_worlds,
    plan_units,
)
from glipkit.claims.clipself_verdicts import judge, score_rows
from glipkit.claims.made_worlds import add_worlds_arguments
from glipkit.claims.region_clip_scores import Things, read_towers
from glipkit.common.reporter import note
from glipkit.runs.folder import claim
from glipkit.runs.results import read_results
from glipkit.runs.units import check_settings, run_units

SUMMARY = 'what distillation from crops brings, on drawn things and photographs'
EXAMPLES = '''examples:
  glipkit bench claims clipself --out bench
  glipkit bench claims clipself --out bench --seeds 1
  glipkit bench claims clipself --out bench --stamps /usr/share/tuxpaint/stamps
  glipkit bench claims clipself --out bench --no-photographs

The first takes about an hour on one core; the same command again resumes. Other seeds of the same
--out may be worked at by another process at the same time.
'''
NOTES = (
    'Top-1, AP50 and mean IoU in points (of 100) on validation pictures: mean ± deviation of the '
    'population over seeds. All 42 names are asked at once (generalised); chance is 2.4.',
    f'Pictures are {SIDE} pixels wide; a crop shows {CROP_SCALE:g} times its box. Regions are '
    'pooled from the map of the whole picture, of the image transformer as CLIPSelf reads it: the '
    'last layer without attention.',
    'Things of all names are in the pictures of the distillation. Grids use no annotation; the '
    'boxes without labels are those of the annotations. Crops show half as much again as cells and '
    'boxes.',
    'F-ViT trains on the boxes of 21 base names; things of novel names are in its pictures, '
    'without a box. The weights in between are those of the distillation from boxes.',
    f'Pixels of things in {PIXEL_PICTURES} pictures; backgrounds are not scored.')

#: Option -> its default, and what takes as many iterations.
ITERATIONS = {
    '--clip-iters': (1600, 'of the image transformer'),
    '--cnn-iters': (600, 'of the CNN'),
    '--grid-iters': (800, 'of the distillation from grids'),
    '--proposal-iters': (400, 'of the distillation from boxes without labels'),
    '--shuffled-iters': (250, 'of the control'),
    '--detector-iters': (250, 'of each detector'),
    '--stamp-iters': (1000, 'of the image transformer of photographs'),
    '--stamp-distil-iters': (400, 'of its distillation')}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    add_worlds_arguments(parser)
    for option, (default, what) in ITERATIONS.items():
        parser.add_argument(option, type=int, default=default, metavar='N',
                            help=f'iterations {what} (default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Does all units and compares what they found.

    Args:
        args: Arguments of `add_arguments`, and ``out``.

    Returns:
        ``setting``, ``notes``, ``rows`` (comparisons, bars, verdicts), ``scores`` (a row per model)
        and ``units`` with everything that they wrote.

    Raises:
        UserError: Impossible numbers, no --out, or one that holds a run of other settings.
    """
    check_settings(args.out, [*iterations(args).values(), *args.pictures], args.seeds)
    setup = make_setup(args)
    claim(setup.folder, setup.identity())
    make_worlds(setup, args.stamps)
    units = plan_units(setup, args.seeds)
    todo = [unit for unit in units if not unit.done]
    note(f'{len(units)} units, {len(units) - len(todo)} of them done; about '
         f'{sum(unit.seconds for unit in todo) / 60:.0f} min on one thread')
    run_units(units)
    results = read_results({unit.name: unit.result for unit in units})
    draw_maps(setup, args.seeds[0], args.out / 'clipself.png')
    return {'setting': _setting(setup, args), 'notes': list(NOTES),
            'rows': judge(results, args.seeds), 'scores': score_rows(results), 'units': results}


def iterations(args: argparse.Namespace) -> dict[str, int]:
    """The numbers of `ITERATIONS` by the names of a setup's fields."""
    return {name: getattr(args, name)
            for name in (option.strip('-').replace('-', '_') for option in ITERATIONS)}


def make_setup(args: argparse.Namespace) -> Setup:
    """The setup that a command line asks for."""
    numbers = iterations(args)
    if args.no_photographs:
        numbers.update(stamp_iters=0, stamp_distil_iters=0)
    train, val = args.pictures
    return Setup(folder=args.out.resolve() / 'clipself', pictures=train, val_pictures=val,
                 **numbers)


def draw_maps(setup: Setup, seed: int, path: Path) -> None:
    """Draws where a seed's maps see the words of a picture, before and after the distillation."""
    before, after = (read_towers(load_config(REGIONS), setup.weights(name, seed))
                     for name in ('vit', CHOSEN))
    draw_before_after(before, after, *first_pictures(Things.read(setup.world)), path, SIDE)


def _setting(setup: Setup, args: argparse.Namespace) -> dict[str, Any]:
    return {'seeds': ' '.join(map(str, args.seeds)),
            'iterations': ', '.join(f'{getattr(setup, name)} {ITERATIONS[option][1]}'
                                    for name, option in zip(iterations(args), ITERATIONS)
                                    if getattr(setup, name)),
            'pictures': f'{setup.pictures} with boxes, {setup.pictures} with captions, '
                        f'{setup.val_pictures} to score on'}
