"""``glipkit distil``: photographs and words become a small detector."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from glipkit.cli._command import add_command
from glipkit.cli._query import CLASSES, add_query_arguments, query_arguments

if TYPE_CHECKING:
    from glipkit.apis.data_sets import AnnotatedImages

DESCRIPTION = '''Labels photographs with a model (what it shows is a label), trains one of mmdet's
detectors on the labels, compares both and writes the student as ONNX too. After an interruption the
same command resumes, and ends with the same files and weights. See docs/distil.md.'''

EXAMPLES = '''examples:
  glipkit distil photos/ --teacher glip-photo --classes "lemon, red apple, corn" --out fruit
  glipkit distil photos/ --task task.safetensors --teacher glip-t-c --test val.json --out parts
  glipkit distil photos/ --classes names.txt --labels-only --format yolo --out labelled
  glipkit distil photos/ --classes names.txt --engine ray --workers 8 --device cuda --out big
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    from glipkit.apis.index import default_model
    parser = add_command(subparsers, 'distil', EXAMPLES, DESCRIPTION)
    parser.add_argument('photos', metavar='PHOTOS', help='folder of photographs, or a pattern')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder of the run')
    asked = parser.add_argument_group('what is asked')
    asked.add_argument('--classes', metavar='"A, B"|FILE', help=CLASSES)
    add_query_arguments(asked)
    asked.add_argument('--task', type=Path, metavar='FILE',
                       help='task file of glipkit tune, prompt or calibrate, which brings its '
                            'names and thresholds')
    asked.add_argument('--teacher', '--model', default=default_model(), metavar='CONFIG',
                       help='model name or config (default: %(default)s)')
    asked.add_argument('--checkpoint', metavar='FILE',
                       help="weights of the teacher: a file, owner/repository:file, or random; "
                            'default: those of its name, fetched on first use')
    asked.add_argument('--device', default='cpu',
                       help='device of teacher and training (default: %(default)s)')
    asked.add_argument('--dtype', default='float32', metavar='DTYPE',
                       help='what the teacher computes in, as for glipkit predict '
                            '(default: %(default)s)')
    _add_labels(parser.add_argument_group('labels'))
    _add_student(parser.add_argument_group('student'))
    parser.set_defaults(run=run)


def _add_labels(group: argparse._ArgumentGroup) -> None:
    group.add_argument('--labels-only', action='store_true',
                       help='stop with the data set, for any other trainer')
    group.add_argument('--format', choices=['coco', 'yolo'], default='coco',
                       help='yolo writes YOLO labels beside the COCO files '
                            '(default: %(default)s)')
    group.add_argument('--threshold', type=float, metavar='SCORE',
                       help="lowest score of a label (default: the task's thresholds, or what the "
                            'teacher shows)')
    group.add_argument('--val-share', type=float, default=0.1, metavar='SHARE',
                       help='share of the photographs to compare on (default: %(default)s)')
    group.add_argument('--min-boxes', type=int, default=0, metavar='N',
                       help='leave out photographs with fewer labels (default: %(default)s)')
    group.add_argument('--batch-size', type=int, default=8, metavar='N',
                       help='photographs that go through the teacher together '
                            '(default: %(default)s)')
    group.add_argument('--part-size', type=int, default=64, metavar='N',
                       help='photographs per shard (default: %(default)s)')
    group.add_argument('--engine', choices=['local', 'ray'], default='local',
                       help='label in this process, or in many (default: %(default)s)')
    group.add_argument('--workers', type=int,
                       help='threads of one core each, or processes of --engine ray; labels do not '
                            'depend on it (default: all cores, or 2)')
    group.add_argument('--address', help='address of a ray cluster; default: one on this machine')


def _add_student(group: argparse._ArgumentGroup) -> None:
    group.add_argument('--student', default='rtmdet-tiny', metavar='NAME|CONFIG',
                       help='rtmdet-tiny, rtmdet-s, rtmdet-m, or a config of mmdet '
                            '(default: %(default)s)')
    group.add_argument('--name', default='student',
                       help='its folder in --out; several students may learn from the same labels '
                            '(default: %(default)s)')
    group.add_argument('--tower', choices=['auto', 'own'], default='auto',
                       help='auto begins with a tower of ImageNet where glipkit[photo] is '
                            'installed, own with the backbone of the config, untrained '
                            '(default: %(default)s)')
    group.add_argument('--size', type=int, default=320, metavar='PIXELS',
                       help='longer side of the images of the student (default: %(default)s)')
    group.add_argument('--iterations', type=int, default=3000, metavar='N',
                       help='steps of training (default: %(default)s)')
    group.add_argument('--train-batch-size', type=int, default=8, metavar='N',
                       help='images of a step (default: %(default)s)')
    group.add_argument('--checkpoint-every', type=int, default=100, metavar='N',
                       help='steps that a kill can take back (default: %(default)s)')
    group.add_argument('--rate', type=float, default=2e-3,
                       help='highest learning rate (default: %(default)s)')
    group.add_argument('--seed', type=int, default=0, help='of training (default: %(default)s)')
    group.add_argument('--precision', choices=['auto', 'float32'], default='auto',
                       help='auto trains in bfloat16 where that is faster (default: %(default)s)')
    group.add_argument('--test', metavar='FILE|DIR',
                       help='data with boxes of your own, in any layout, to compare on')
    group.add_argument('--test-images', type=Path, metavar='DIR',
                       help='images of a COCO json (default: where they usually are)')


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from glipkit.distil.settings import LabelPlan, StudentPlan
    labels = LabelPlan(score=args.threshold, val_share=args.val_share, min_boxes=args.min_boxes,
                       part_size=args.part_size, batch_size=args.batch_size, form=args.format)
    student = None if args.labels_only else StudentPlan(
        student=args.student, tower=args.tower, size=args.size, iterations=args.iterations,
        batch_size=args.train_batch_size, rate=args.rate, seed=args.seed,
        keep_every=args.checkpoint_every, precision=args.precision)
    from glipkit.apis.build import checkpoint_for
    from glipkit.distil.run import distil
    from glipkit.distil.settings import Asked
    from glipkit.distil.structures import DistilRun
    from glipkit.labelling.engines import Teacher
    given = query_arguments(args)
    asked = Asked(given['classes'], args.task, tuple(given['negative_classes']),
                  tuple(map(tuple, given['exclusive'])))
    checkpoint = checkpoint_for(args.teacher, args.checkpoint)
    teacher = Teacher(str(args.teacher), str(checkpoint), args.device, dtype=args.dtype)
    done = distil(DistilRun(
        args.photos, args.out, teacher, asked, labels, student, _test_data(args), args.name,
        args.engine, args.workers, args.address))
    for name, why in done.problems[:5]:
        print(f'left out: {name}: {why}')
    counts = done.data.counts
    print(f'{counts["boxes"]} labels in {counts["photographs"]} photographs: {args.out}/data')
    if 'report' in done.files:
        print(done.files['report'].read_text(encoding='utf-8'))
    for path in done.files.values():
        print(path)
    return 0


def _test_data(args: argparse.Namespace) -> AnnotatedImages | None:
    """The user's own data."""
    from glipkit.apis.data_sets import AnnotatedImages, one_part
    if args.test is None:
        return None
    if args.test_images is not None:
        return AnnotatedImages(Path(args.test), args.test_images)
    return one_part(args.test, ('test', 'val'), need_boxes=True)
