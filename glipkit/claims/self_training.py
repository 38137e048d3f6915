"""What captions without boxes teach: a teacher, its student, and as much training on gold alone.

The third claim of the GLIP paper (section 3.3) in miniature. The teacher is trained on gold
detection data, whose categories have base words only. It grounds the phrases of captions whose
boxes it does not see; some have words that no gold category has. The student is trained on gold
and on the teacher's boxes, and should have become better at the held-out words. Gold-only, trained
as long on gold alone, should not.

Student and gold-only start from the teacher's weights and not from random ones: then they differ
from it, and from each other, in nothing but what the added iterations saw.

Teacher, pseudo-labels, student and gold-only of every seed are units in OUT/self-training. The
same command resumes with the unit that an earlier one was in, at its newest checkpoint. Seeds do
not depend on each other: several processes may each work at other seeds of one OUT, and a later
call with all seeds collects what they did.
"""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from glipkit.claims.self_training_units import WORLDS, Setup, make_world, plan_units, usual_iters
from glipkit.claims.self_training_verdicts import GROUPS, judge, score_rows
from glipkit.common.reporter import note
from glipkit.errors import UserError
from glipkit.runs.folder import claim
from glipkit.runs.results import read_results
from glipkit.runs.units import check_settings, run_units

SUMMARY = 'what captions without boxes teach: teacher, student, and gold alone, in hours'
EXAMPLES = '''examples:
  glipkit bench self-training --out bench
  glipkit bench self-training --out bench --seeds 1
  glipkit bench self-training --out stamps --world stamps --stamps /usr/share/tuxpaint/stamps
  glipkit bench self-training --out quick --teacher-iters 300 --pairs 200 --pictures 400 50

The first needs hours; the same command again resumes. Other seeds of the same --out may be worked
at by another process at the same time.
'''
#: Below that of ``glipkit pseudo-label``: so short a training leaves a teacher unsure.
DEFAULT_THRESHOLD = .4
#: World -> score above which unknown words take what known ones leave over; 1 is off. Words of
#: shapes have parts that a teacher knows; a vegetable is news to one that was shown fruit.
DEFAULT_LEFTOVER = {'shapes': 1., 'stamps': .05}
#: World -> groups of categories whose gains are held against bars.
JUDGED = {'shapes': tuple(GROUPS), 'stamps': ('caption_only', )}
#: A schedule has a warm-up and a decay.
LEAST_ITERS = 2
NOTES = (
    'AP50 in points (of 100) on all validation pictures: mean ± deviation of the population over '
    'seeds. A gain has the seeds in brackets.',
    "Student and gold-only start from the teacher's weights, and differ in what the added "
    'iterations saw: half gold and half pseudo-labels, or gold alone.',
    'A pseudo-label is right when it overlaps, at IoU 0.5, an object that its phrase names; its '
    'phrase has a held-out word when no gold category has that word, and captions do.')
#: World -> what its groups of categories are.
GROUP_NOTES = {
    'shapes': 'Held-out words: categories with a word that captions alone teach. Base words, '
              'unseen: new combinations of words of the gold categories. The mean gain is held '
              'against the bar.',
    'stamps': 'Held-out words: vegetables, which captions alone name. Base words, seen: fruit; '
              'unseen: fruit that nothing names or shows.'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--world', choices=list(WORLDS), default='shapes',
                        help='world of the pictures (default: %(default)s)')
    parser.add_argument('--stamps', type=Path, metavar='DIR',
                        help='for --world stamps: stamps folder, or folder of an unpacked package '
                             '(default: download it with apt-get)')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], metavar='N',
                        help='seeds of weights and order (default: 0 1 2)')
    parser.add_argument('--teacher-iters', type=int, metavar='N',
                        help="iterations of the teacher (default: its config's)")
    parser.add_argument('--student-iters', type=int, metavar='N',
                        help='further iterations of student and gold-only (default: half as many)')
    parser.add_argument('--pairs', type=int, metavar='N',
                        help="captioned pictures to label (default: the world's own)")
    parser.add_argument('--pictures', type=int, nargs=2, metavar=('GOLD', 'VAL'),
                        help="pictures to train on, and to score on (default: the world's own)")
    parser.add_argument('--threshold', type=float, default=DEFAULT_THRESHOLD, metavar='SCORE',
                        help="score above which the teacher's boxes are labels "
                             '(default: %(default)s)')
    parser.add_argument('--leftover', type=float, metavar='SCORE',
                        help='score above which a phrase that is sure of no box takes boxes that '
                             'no other phrase has; 1 is off (default: {})'.format(', '.join(
                                 f'{value:g} for {world}'
                                 for world, value in DEFAULT_LEFTOVER.items())))
    parser.add_argument('--device', default='cpu',
                        help='device of labelling (default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Does all units and compares the models.

    Args:
        args: Arguments of `add_arguments`, and ``out``.

    Returns:
        ``setting``, ``notes``, ``rows`` (models, pseudo-labels, gains), ``scores`` (a row per seed
        and model) and ``units`` with everything that they wrote.

    Raises:
        UserError: Impossible numbers, no --out, or one that holds a run of other settings.
    """
    _check(args)
    setup = make_setup(args)
    claim(setup.folder, setup.identity())
    make_world(setup, args.stamps)
    units = plan_units(setup, args.seeds)
    todo = [unit for unit in units if not unit.done]
    note(f'{len(units)} units, {len(units) - len(todo)} of them done; about '
         f'{sum(unit.seconds for unit in todo) / 3600:.1f} h on one thread')
    run_units(units)
    results = read_results({unit.name: unit.result for unit in units})
    return {'setting': _setting(setup, args.seeds), 'notes': [*NOTES, GROUP_NOTES[setup.world]],
            'rows': judge(results, args.seeds, JUDGED[setup.world]),
            'scores': score_rows(results, args.seeds), 'units': results}


def _check(args: argparse.Namespace) -> None:
    check_settings(args.out, [args.pairs, *(args.pictures or ())], args.seeds)
    iters = [n for n in (args.teacher_iters, args.student_iters) if n is not None]
    if iters and min(iters) < LEAST_ITERS:
        raise UserError(f'at least {LEAST_ITERS} iterations', repr(min(iters)), 'pass more')
    if args.stamps is not None and args.world != 'stamps':
        raise UserError('--stamps with --world stamps', f'--world {args.world}',
                        'leave one of them out')


def make_setup(args: argparse.Namespace) -> Setup:
    """The setup that a command line asks for."""
    teacher = args.teacher_iters or usual_iters(args.world)
    world = WORLDS[args.world]
    gold, val = args.pictures or (world.DEFAULT_TRAIN_DET, world.DEFAULT_VAL)
    student = args.student_iters or max(teacher // 2, LEAST_ITERS)
    leftover = DEFAULT_LEFTOVER[args.world] if args.leftover is None else args.leftover
    return Setup(folder=args.out.resolve() / 'self-training', world=args.world,
                 gold_pictures=gold, pairs=args.pairs or world.DEFAULT_TRAIN_GRD,
                 val_pictures=val, teacher_iters=teacher, student_iters=student,
                 threshold=args.threshold, leftover=leftover, device=args.device)


def _setting(setup: Setup, seeds: list[int]) -> dict[str, Any]:
    return {'world': setup.world, 'seeds': ' '.join(map(str, seeds)),
            'iterations': f'{setup.teacher_iters} of the teacher and {setup.student_iters} more',
            'pictures': f'{setup.gold_pictures} gold, {setup.pairs} captioned, '
                        f'{setup.val_pictures} to score on', 'threshold': setup.threshold,
            'leftover': 'off' if setup.leftover == 1 else setup.leftover}
