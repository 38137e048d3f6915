"""What examples, negatives, calibration and exclusive groups bring: five measurements.

A thing that no word names is shown in a few pictures, is asked beside words, and is told from its
look-alikes; scores become probabilities; of two names that exclude each other an object gets one.
Both worlds: combinations of shapes and photographs, which pre-training neither showed nor named.

Every measurement of a seed is a unit in OUT/exemplars. The same command resumes with the unit that
an earlier one was in. Several processes may work at one OUT, each at its own seeds; a later call
with all seeds collects what they did.
"""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from glipkit.benchmarks.results import table
from glipkit.claims.exemplar_scores import RECALL
from glipkit.claims.exemplar_tasks import PICTURES
from glipkit.claims.exemplar_units import CLAIMS, FEWEST, MODELS, Setup, plan_units
from glipkit.claims.exemplar_verdicts import judge, score_rows
from glipkit.common.reporter import note
from glipkit.errors import UserError
from glipkit.files import write_text
from glipkit.runs.folder import claim
from glipkit.runs.results import read_results
from glipkit.runs.units import check_settings, run_units

SUMMARY = 'what examples, negatives, calibration and exclusive groups bring, in hours'
EXAMPLES = '''examples:
  glipkit bench claims exemplars --out bench --stamps /usr/share/tuxpaint/stamps
  glipkit bench claims exemplars --out bench --worlds shapes --claims 1 2 3
  glipkit bench claims exemplars --out quick --worlds shapes --seeds 0 --seconds 5 --max-passes 3

The first needs about an hour on two cores, where two processes work at it with other --seeds; the
same command again resumes.
'''
#: Pictures of every split of a task.
DEFAULT_PICTURES = {'train': 40, 'val': 20, 'test': 90, 'look-alikes': 60, 'negatives': 20,
                    'pairs': 45, 'many': 120}
NOTES = (
    'Mean ± deviation of the population over seeds, which draw the pictures, the examples and the '
    'order. AP in points (of 100).',
    'Prompt tuning has {schedule} and {val} further pictures to choose its best pass on; '
    'exemplars have the same examples and nothing else.',
    f'Look-alikes are told from things of which {FEWEST} picture each is shown; negatives are as '
    'many pictures of each look-alike. One counts where a box lies on it (IoU 0.5) at the '
    f'threshold at which {RECALL:.0%} of the objects are found, or as many as both models find.',
    'Calibration learns from two thirds of the test pictures and is measured on the third that is '
    'left, every third once.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--worlds', nargs='+', choices=list(MODELS), default=list(MODELS),
                        metavar='WORLD', help='shapes, stamps (default: both)')
    parser.add_argument('--claims', type=int, nargs='+', choices=CLAIMS, default=list(CLAIMS),
                        metavar='N', help='measurements to make, 1 to 5 (default: all)')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], metavar='N',
                        help='seeds of pictures, examples and order (default: 0 1 2)')
    parser.add_argument('--seconds', type=float, default=60., metavar='S',
                        help='time to learn the examples in (default: %(default)g)')
    parser.add_argument('--max-passes', type=int, metavar='N',
                        help="most passes of prompt tuning (default: the recipe's 200, with early "
                             'stops)')
    parser.add_argument('--pictures', type=int, nargs=len(PICTURES), metavar=tuple(
        split.upper() for split in PICTURES), default=list(DEFAULT_PICTURES.values()),
                        help='pictures of every split of a task (default: {})'.format(
                            ' '.join(map(str, DEFAULT_PICTURES.values()))))
    parser.add_argument('--stamps', type=Path, metavar='DIR',
                        help='stamps folder, or folder of an unpacked package (default: download '
                             'it with apt-get)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Does all units and judges them.

    Args:
        args: Arguments of `add_arguments`, and ``out``.

    Returns:
        ``setting``, ``notes``, ``rows`` (claim, world, measurement, measured, bar, verdict),
        ``scores`` (a row per seed and way to learn) and ``units`` with everything that they wrote.

    Raises:
        UserError: Impossible numbers, no --out, or one that holds a run of other settings.
    """
    check_settings(args.out, [*args.pictures, args.max_passes], args.seeds)
    if args.seconds <= 0:
        raise UserError('more than 0 --seconds', f'{args.seconds:g}', 'pass e.g. 60')
    worlds = list(dict.fromkeys(args.worlds))
    setups = [make_setup(args, world) for world in worlds]
    plans = {}
    for setup in setups:
        claim(setup.folder, setup.identity())
        plans[setup.world] = plan_units(setup, args.claims, args.seeds)
    units = [unit for plan in plans.values() for unit in plan]
    todo = [unit for unit in units if not unit.done]
    note(f'{len(units)} units, {len(units) - len(todo)} of them done; about '
         f'{sum(unit.seconds for unit in todo) / 3600:.1f} h on one thread')
    run_units(units)
    results = {world: read_results({unit.name.removeprefix(f'{world} '): unit.result
                                    for unit in plan}) for world, plan in plans.items()}
    rows = [row for world in worlds
            for row in judge(world, results[world], args.claims, args.seeds)]
    scores = [row for world in worlds for row in score_rows(world, results[world], args.seeds)]
    write_text(args.out / 'exemplars-scores.md', table(scores) + '\n')
    return {'setting': _setting(args, setups), 'rows': sorted(rows, key=lambda row: row['claim']),
            'notes': _notes(args), 'scores': scores, 'units': results}


def make_setup(args: argparse.Namespace, world: str) -> Setup:
    """The setup that a command line asks for."""
    return Setup(folder=args.out.resolve() / 'exemplars' / world, world=world,
                 pictures=dict(zip(PICTURES, args.pictures)), seconds=args.seconds,
                 max_passes=args.max_passes, stamps=args.stamps)


def _notes(args: argparse.Namespace) -> list[str]:
    schedule = f'few passes: {args.max_passes} at most,' if args.max_passes else 'its full schedule'
    val = dict(zip(PICTURES, args.pictures))['val']
    return [*(line.format(schedule=schedule, val=val) for line in NOTES),
            'Scores of every seed: exemplars-scores.md.']


def _setting(args: argparse.Namespace, setups: list[Setup]) -> dict[str, Any]:
    return {'models': ', '.join(f'{MODELS[setup.world]} ({setup.world})' for setup in setups),
            'seeds': ' '.join(map(str, args.seeds)), 'seconds to learn in': args.seconds,
            'pictures': ', '.join(f'{count} {split}' for split, count
                                  in zip(PICTURES, args.pictures)),
            'passes of prompt tuning': args.max_passes or "the recipe's"}
