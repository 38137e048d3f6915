"""A small detector out of photographs without labels: how good beside its teacher, how fast.

The teacher looks for fruit and vegetables in pictures that its own training did not have, students
of several seeds learn its labels, and both are scored on other pictures, whose boxes are known.
Then a student takes turns with a large detector of any words, each at its own usual size.
"""
from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.apis.build import checkpoint_for
from glipkit.apis.data_sets import AnnotatedImages
from glipkit.benchmarks import student as speed
from glipkit.benchmarks.results import spread
from glipkit.data.formats.reading import read_json
from glipkit.distil import Asked, DistilRun, LabelPlan, StudentPlan, distil
from glipkit.labelling.engines import Teacher
from glipkit.runs.folder import claim
from glipkit.runs.units import check_settings
from glipkit.text.query import Query
from glipkit.worlds import stamps

SUMMARY = ('how good and how fast a small detector is that learnt from labels of a teacher, on '
           'photographs')
EXAMPLES = '''examples:
  glipkit bench distillation --out bench --stamps /usr/share/tuxpaint/stamps
  glipkit bench distillation --out quick --seeds 0 --pictures 300 100 --iterations 400
'''
TEACHER = 'glip-photo'
#: Seed of the pictures; pre-training has those of seed 0.
WORLD_SEED = 1
SIZE = stamps.DEFAULT_IMAGE_SIZE
#: Least share of the teacher's AP50, in percent.
LEAST = 85.
NOTES = (
    'AP50 in points (of 100) on pictures with known boxes: mean ± deviation of the population over '
    'seeds of the student. All see pictures of the same things, of which pre-training of the '
    'teacher had others.', )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--pictures', type=int, nargs=2, default=[1500, 300],
                        metavar=('PHOTOS', 'TEST'),
                        help='pictures to label, and to score on (default: 1500 300)')
    parser.add_argument('--iterations', type=int, default=1600,
                        help='steps of training (default: %(default)s)')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], metavar='N',
                        help='seeds of students (default: 0 1 2)')
    parser.add_argument('--stamps', type=Path, metavar='DIR',
                        help='stamps folder, or folder of an unpacked package (default: download '
                             'it with apt-get)')
    speed_options = argparse.ArgumentParser(add_help=False)
    speed.add_speed_arguments(speed_options)
    parser.set_defaults(speed=speed_options.parse_args([]))


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Draws, labels, trains, scores and times; the same call again resumes.

    Returns:
        ``setting``, ``notes``, ``rows`` (a row per model, and the two bars) and ``seeds``.

    Raises:
        UserError: Impossible numbers, no --out, or one of another run.
    """
    check_settings(args.out, [*args.pictures, args.iterations], args.seeds)
    photos, test = args.pictures
    folder = args.out.resolve() / 'distillation'
    claim(folder, dict(pictures=args.pictures, iterations=args.iterations, teacher=TEACHER))
    world = folder / 'world'
    stamps.build(world, WORLD_SEED, 1, photos, test, stamps_dir=args.stamps, grouping='food')
    scores = {seed: _student(folder, world, seed, args.iterations) for seed in args.seeds}
    timed = speed.run(Namespace(**{**vars(args.speed),
                                   'student': folder / f'run/student-{args.seeds[0]}'}))
    return {'setting': dict(timed['setting'], teacher=TEACHER, photographs=photos,
                            iterations=args.iterations, seeds=' '.join(map(str, args.seeds))),
            'notes': [*NOTES, *timed['notes']],
            'rows': [*judge(scores), *judge_speed(timed['rows'])],
            'seeds': scores, 'speed': timed['rows']}


def _student(folder: Path, world: Path, seed: int, iterations: int) -> dict[str, Any]:
    """Scores of one seed; the labels are made once for all."""
    groups = read_json(world / 'annotations/splits.json', 'groups of things')
    teacher = Teacher(TEACHER, str(checkpoint_for(TEACHER)))
    return dict(distil(DistilRun(
        photos=str(world / 'images/train_grd'), out=folder / 'run', teacher=teacher,
        asked=Asked(Query.for_classes([*groups['seen'], *groups['caption_only']])),
        labels=LabelPlan(val_share=.05),
        student=StudentPlan(size=SIZE, iterations=iterations, seed=seed),
        test=AnnotatedImages(world / 'annotations/val.json', world / 'images/val'),
        name=f'student-{seed}')).scores)


def judge_speed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the timing, from `benchmarks.student.run`, with the bar."""
    slow, *fast = rows
    return [{'line': f'seconds of {slow["candidate"]}', 'measured': f'{slow["median s"]:.3f}'}, *(
        {'line': f'{row["candidate"]}: times as fast', 'measured': f'{row["times as fast"]:.0f}',
         'bar': f'>= {speed.LEAST:g}', 'verdict': row['at least 30x']} for row in fast)]


def judge(scores: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of teacher and student, and the bar.

    Args:
        scores: Seed -> what `distil` measured.
    """
    teacher = 100 * next(iter(scores.values()))['teacher']['ap50']
    students = 100 * np.array([one['student']['ap50'] for one in scores.values()])
    share = float(100 * students.mean() / teacher)
    return [{'line': 'AP50 of the teacher', 'measured': f'{teacher:.1f}'},
            {'line': 'AP50 of the student', 'measured': spread(students)},
            {'line': 'share of the teacher, %', 'measured': f'{share:.1f}',
             'bar': f'>= {LEAST:g}', 'verdict': 'met' if share >= LEAST else 'missed'}]
