"""What RegionCLIP's losses teach, on drawn things and photographs: a proof in miniature.

Zhong et al., "RegionCLIP: Region-based Language-Image Pretraining", CVPR 2022. A small CLIP learns
names from pictures of one thing each. Its regions know large things and not small ones; a teacher
that sees pictures twice as large tells the student what the small ones are. Further units begin the
attention pooling anew, leave losses out, and train a detector on half of the names, which is asked
for all.

Everything of every seed is a unit in OUT/region-clip. The same command resumes with the unit that
an earlier one was in, at its newest checkpoint. Seeds do not depend on each other: several
processes may each work at other seeds of one OUT, and a later call with all seeds collects what
they did.
"""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from glipkit.apis.training import load_config
from glipkit.claims.made_worlds import add_worlds_arguments
from glipkit.claims.region_clip_picture import plot_words, telling_picture
from glipkit.claims.region_clip_scores import Things, read_towers
from glipkit.claims.region_clip_units import CLIP, SIDE, Setup, make_worlds, plan_units
from glipkit.claims.region_clip_verdicts import judge, score_rows
from glipkit.common.reporter import note
from glipkit.runs.folder import claim
from glipkit.runs.results import read_results
from glipkit.runs.units import check_settings, run_units

SUMMARY = 'what region pre-training and transfer bring, on drawn things and photographs'
EXAMPLES = '''examples:
  glipkit bench claims region-clip --out bench
  glipkit bench claims region-clip --out bench --seeds 1
  glipkit bench claims region-clip --out bench --stamps /usr/share/tuxpaint/stamps
  glipkit bench claims region-clip --out quick --clip-iters 60 --region-iters 40 --pictures 100 20

The first takes about 40 minutes on one core; the same command again resumes. Other seeds of the
same --out may be worked at by another process at the same time.
'''
NOTES = (
    'Top-1 and AP in points (of 100) on all validation pictures: mean ± deviation of the '
    'population over seeds. All 42 names are asked at once (generalised); chance is 2.4.',
    'Pictures are 96 pixels wide, a cell of the map 16: large things are 26 to 39 pixels long, '
    'small ones 12 to 17.',
    'Boxes of pre-training and transfer are drawn around things and elsewhere, with a logit made '
    'of their overlap and noise, in place of a proposal network; names have no part in them.',
    'Transfer starts from the student of the stronger teacher and trains on the boxes of 21 base '
    'names; things of novel names are in its pictures, without a box.',
    'Photographs: fruit was seen in pictures of its own, vegetables were named in captions of '
    'whole pictures alone, some fruit never.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    add_worlds_arguments(parser)
    for option, default, what in (
            ('--clip-iters', 900, 'of the image-text model'),
            ('--region-iters', 500, 'of each region pre-training'),
            ('--transfer-iters', 300, 'of each detector'),
            ('--stamp-iters', 700, 'of the image-text model of photographs')):
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
    check_settings(args.out, [args.clip_iters, args.region_iters, args.transfer_iters,
                              args.stamp_iters, *args.pictures], args.seeds)
    setup = make_setup(args)
    claim(setup.folder, setup.identity())
    make_worlds(setup, args.stamps)
    units = plan_units(setup, args.seeds)
    todo = [unit for unit in units if not unit.done]
    note(f'{len(units)} units, {len(units) - len(todo)} of them done; about '
         f'{sum(unit.seconds for unit in todo) / 60:.0f} min on one thread')
    run_units(units)
    results = read_results({unit.name: unit.result for unit in units})
    draw_words(setup, args.seeds[0], args.out / 'region-clip.png')
    return {'setting': _setting(setup, args.seeds), 'notes': list(NOTES),
            'rows': judge(results, args.seeds), 'scores': score_rows(results), 'units': results}


def make_setup(args: argparse.Namespace) -> Setup:
    """The setup that a command line asks for."""
    train, val = args.pictures
    return Setup(folder=args.out.resolve() / 'region-clip', pictures=train, val_pictures=val,
                 clip_iters=args.clip_iters, region_iters=args.region_iters,
                 transfer_iters=args.transfer_iters,
                 stamp_pictures=0 if args.no_photographs else train, stamp_iters=args.stamp_iters)


def draw_words(setup: Setup, seed: int, path: Path) -> None:
    """Draws what a seed's regions are called before and after the stronger teacher."""
    truth, cfg = Things.read(setup.world), load_config(CLIP)
    before, after = (read_towers(cfg, setup.weights(model, seed)) for model in ('clip', 'stronger'))
    number = telling_picture(truth, before, after, SIDE)
    plot_words(truth, number, {'CLIP, its own regions': before,
                               'after region pre-training': after}, SIDE, path)


def _setting(setup: Setup, seeds: list[int]) -> dict[str, Any]:
    return {'seeds': ' '.join(map(str, seeds)),
            'iterations': f'{setup.clip_iters} of CLIP, {setup.region_iters} of regions, '
                          f'{setup.transfer_iters} of a detector',
            'pictures': f'{setup.pictures} with boxes, {setup.pictures} with captions, '
                        f'{setup.val_pictures} to score on'}
