"""What tuning a grounding model brings: seven comparisons of the GLIP paper on generated tasks.

Section 5 of the paper (data efficiency, one model for all tasks) with `glipkit.tuning.run.tune`,
as users call it, over small tasks of the shapes world. Three pre-trained models are compared:
*deep* (deep fusion, detection and captions), *late* (no fusion) and *classes* (no captions).
Comparisons 2 and 4 are fair only between models of the same pictures, schedule and iterations. By
default all have those of the weights that come with glipkit, so deep is these weights and two
models are pre-trained; with any other number of iterations or pictures, or with --pretrain-deep,
all three are.
Pre-training takes a GPU where there is one, whatever --device says of tuning.

Every pre-training and every tuning run is a unit in OUT/transfer. The same command resumes with the
unit that an earlier one was in, at its newest checkpoint.
"""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from glipkit.apis.build import find_config, read_config
from glipkit.apis.index import shipped_weights
from glipkit.benchmarks.results import table
from glipkit.claims import transfer_stamps
from glipkit.claims.transfer_tasks import plan_tasks
from glipkit.claims.transfer_units import CLAIMS, MODELS, SHOTS, Setup, Work, plan_runs
from glipkit.claims.transfer_verdicts import judge, plot_shots, score_rows
from glipkit.common.digests import file_sha256
from glipkit.common.reporter import note
from glipkit.files import write_text
from glipkit.runs import folder
from glipkit.runs.units import check_settings
from glipkit.worlds.shapes import DEFAULT_TRAIN_DET

SUMMARY = 'what tuning brings: seven comparisons of the paper, in hours'
EXAMPLES = '''examples:
  glipkit bench transfer --out bench
  glipkit bench transfer --out bench --claims 1 3 5 7
  glipkit bench transfer --out photos --world stamps --stamps /usr/share/tuxpaint/stamps
  glipkit bench transfer --out quick --pretrain-iters 300 --pictures 40 20 40 --max-passes 5

The first needs hours; the same command again resumes.
'''
NOTES = (
    'AP in points (of 100) on test pictures: mean ± deviation of the population over seeds, each '
    'the mean over the tasks. Seeds draw the shots and the order; every model is pre-trained once, '
    'so the deviations say nothing about pre-training.',
    'Tasks: six combinations that pre-training never showed or named, under invented words, and '
    'six others under their own names. Near misses in the pictures have no boxes.',
    'Comparison 4 has a third task: six things with words that captions alone named.',
    'Comparison 5 has another word and another combination for each seed.',
    'Held-out: 12 combinations that pre-training showed and 12 that it did not, none of a task.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--world', choices=['shapes', 'stamps'], default='shapes',
                        help='shapes: seven comparisons of mini models; stamps: few shots on '
                             'photographs (default: %(default)s)')
    parser.add_argument('--claims', type=int, nargs='+', choices=CLAIMS, default=list(CLAIMS),
                        metavar='N', help='comparisons to make, 1 to 7 (default: all)')
    parser.add_argument('--seeds', type=int, nargs='+', default=[3, 30, 300], metavar='N',
                        help='seeds of tuning (default: 3 30 300)')
    parser.add_argument('--pretrain-iters', type=int, metavar='N',
                        help='iterations of every model (default: those of the configs, which the '
                             'shipped weights had)')
    parser.add_argument('--pretrain-pictures', type=int, default=DEFAULT_TRAIN_DET, metavar='N',
                        help='pictures of each kind to pre-train on (default: %(default)s, as the '
                             'shipped weights had)')
    parser.add_argument('--pretrain-deep', action='store_true',
                        help='pre-train the deep model too, instead of the shipped weights')
    parser.add_argument('--pictures', type=int, nargs=3, default=[60, 30, 100],
                        metavar=('TRAIN', 'VAL', 'TEST'),
                        help='pictures of a task (default: 60 30 100); the held-out set has TEST')
    parser.add_argument('--max-passes', type=int, metavar='N',
                        help="most passes of a tuning run (default: the recipe's 200, with early "
                             'stops)')
    parser.add_argument('--device', default='cpu', help='device of tuning (default: %(default)s)')
    photos = parser.add_argument_group('--world stamps')
    photos.add_argument('--stamps', type=Path, metavar='DIR',
                        help='stamps folder, or folder of an unpacked package (default: download '
                             'it with apt-get)')
    photos.add_argument('--checkpoint', metavar='FILE',
                        help=f'weights (default: those of {transfer_stamps.MODEL})')
    photos.add_argument('--only', nargs='+', default=[], metavar='NAME',
                        help='these tasks, e.g. food/fruit')
    photos.add_argument('--world-pictures', type=int, nargs=2, default=transfer_stamps.PICTURES,
                        metavar=('TRAIN', 'TEST'),
                        help='pictures of the world, of all tasks (default: {} {})'.format(
                            *transfer_stamps.PICTURES))


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Does all units, judges them, and plots comparison 4 to ``OUT/transfer.png``.

    Args:
        args: Arguments of `add_arguments`, and ``out``.

    Returns:
        ``setting``, ``notes``, ``rows`` (comparison, measured, bar, verdict), ``scores`` (a row
        per unit) and ``units`` with everything that they wrote.

    Raises:
        UserError: Impossible numbers, no --out, or one that holds a run of other settings.
    """
    check_settings(args.out, [*args.pictures, args.pretrain_pictures, args.pretrain_iters,
                              args.max_passes, *args.world_pictures], args.seeds)
    if args.world == 'stamps':
        return transfer_stamps.run(args)
    setup = make_setup(args)
    word_tasks = [f'word-{seed}' for seed in setup.seeds]
    claim(setup)
    work = Work(setup, plan_runs(args.claims, word_tasks))
    note(work.estimate())
    results = work.run()
    rows, scores = judge(results, args.claims, word_tasks), score_rows(results)
    write_text(args.out / 'transfer-scores.md', table(scores) + '\n')
    notes = [*NOTES, 'Scores of every unit: transfer-scores.md.']
    if 4 in args.claims:
        plot_shots(results, args.out / 'transfer.png')
        notes.append(f'AP over {", ".join(map(str, SHOTS))} shots: transfer.png.')
    return {'setting': _setting(setup), 'notes': notes, 'rows': rows, 'scores': scores,
            'units': results}


def make_setup(args: argparse.Namespace) -> Setup:
    """The setup that a command line asks for; decides which weights the deep model has."""
    usual = read_config(find_config(MODELS['deep'])).train_cfg.max_iters
    iters = args.pretrain_iters or usual
    train, val, test = args.pictures
    sizes = dict(train=train, val=val, test=test, held_out=test)
    return Setup(
        folder=args.out.resolve() / 'transfer', tasks=plan_tasks(sizes, args.seeds),
        seeds=tuple(args.seeds), pretrain_iters=iters, pretrain_pictures=args.pretrain_pictures,
        shipped=(not args.pretrain_deep and iters == usual
                 and args.pretrain_pictures == DEFAULT_TRAIN_DET),
        max_passes=args.max_passes, device=args.device)


def claim(setup: Setup) -> None:
    """Marks the folder as this run's, or finds that it is.

    Raises:
        UserError: It holds a run with other settings, or of other shipped weights.
    """
    shipped = file_sha256(shipped_weights('glip-mini')) if setup.shipped else None
    folder.claim(setup.folder, {**setup.identity(), 'shipped weights': shipped})


def _setting(setup: Setup) -> dict[str, Any]:
    own = 'shipped' if setup.shipped else 'pre-trained here'
    sizes = next(iter(setup.tasks.values())).sizes
    return {'seeds': ' '.join(map(str, setup.seeds)), 'deep model': own,
            'pre-training': f'{setup.pretrain_iters} iterations on {setup.pretrain_pictures} '
                            'pictures of each kind',
            'pictures of a task': ' + '.join(str(n) for n in sizes.values()),
            'passes': setup.max_passes or "the recipe's"}
