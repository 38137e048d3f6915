"""``glipkit calibrate``: scores that are probabilities, and a threshold for each class."""
from __future__ import annotations

import argparse
from pathlib import Path

from glipkit.cli._command import add_command
from glipkit.cli._query import add_query_arguments, test_query

DESCRIPTION = '''Measures a model on annotated images that it was not trained on, and writes what it
found into a task file, where it is used by default: a map from scores to probabilities, and a
threshold for each class. Beside the file a folder gets the report, and the detections, so that
another --by or --method needs no model. The same command again resumes. See docs/calibration.md.'''

EXAMPLES = '''examples:
  glipkit calibrate val.json --images photos/ --task fish.safetensors
  glipkit calibrate val.json --images photos/ --task fish.safetensors --out sure.safetensors \\
      --by precision=0.9
  glipkit calibrate val.json --images photos/ --model glip-photo --classes "apple, plum" \\
      --by fp-per-image=0.1 --out fruit.safetensors
  glipkit calibrate fish/ --out fish.safetensors      # YOLO, Pascal VOC, labelme, CSV, COCO
  glipkit predict photo.jpg --task fish.safetensors   # with the measured thresholds
  glipkit predict photo.jpg --task fish.safetensors --threshold 0.5    # 0.5 is a probability
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    from glipkit.apis.index import default_model
    parser = add_command(subparsers, 'calibrate', EXAMPLES, DESCRIPTION)
    parser.add_argument('data', metavar='DATA',
                        help='COCO json of images that the model was not trained on; or a folder '
                             'in another layout, of which the part for validation is used')
    parser.add_argument('--images', type=Path, metavar='DIR',
                        help='images of a COCO json (default: where they usually are)')
    parser.add_argument('--out', type=Path, metavar='FILE',
                        help='the task file to write (default: the file of --task)')
    parser.add_argument('--task', type=Path, metavar='FILE',
                        help='a task of the model to calibrate; without, the model as it is')
    parser.add_argument('--classes', metavar='"A, B"|FILE',
                        help='names to look for, or a query file, as for glipkit predict (default: '
                             'those of the task or the data)')
    add_query_arguments(parser)
    parser.add_argument('--model', default=default_model(),
                        help='model name or config (default: %(default)s)')
    parser.add_argument('--checkpoint', help='its weights: a file, owner/repository:file, or '
                        'random; default those of its name, fetched on first use')
    parser.add_argument('--by', default='f1', metavar='RULE',
                        help='what thresholds are chosen by: f1; precision=0.9, the share of what '
                             'is shown that is right; fp-per-image=0.1, the most that each class '
                             'is shown wrongly (default: %(default)s)')
    parser.add_argument('--method', default='isotonic', choices=['isotonic', 'temperature', 'none'],
                        help='map from scores to probabilities (default: %(default)s)')
    parser.add_argument('--all-labels', action='store_true',
                        help='for a task that will be asked so: every name that claims an object')
    parser.add_argument('--box-format', choices=['xywh', 'xyxy', 'yolo'], default='xywh',
                        help='how boxes of a Hugging Face data set are written '
                             '(default: %(default)s)')
    parser.add_argument('--device', default='auto',
                        help='cpu, cuda, cuda:1, mps, auto (default: %(default)s)')
    parser.add_argument('--dtype', default='float32', metavar='DTYPE',
                        help='what the model computes in, as for glipkit predict '
                             '(default: %(default)s)')
    parser.set_defaults(run=run, resumes=True)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from glipkit.apis.data_sets import AnnotatedImages, one_part
    from glipkit.calibration.report import result_lines, write_report
    from glipkit.calibration.run import CalibrateSettings, calibrate
    data = one_part(args.data, ('val', 'test'), args.box_format, need_boxes=True) \
        if args.images is None else AnnotatedImages(Path(args.data), args.images)
    result = calibrate(CalibrateSettings(
        data=data, out=args.out, task=args.task, classes=test_query(args), model=args.model,
        checkpoint=args.checkpoint, by=args.by, method=args.method,
        per_object='all' if args.all_labels else 'one', device=args.device, dtype=args.dtype))
    report = write_report(result)
    print('\n'.join(result_lines(result)))
    print(f'task: {result.settings.place}\nreport: {report}')
    return 0
