"""Times detection: images and class names in, boxes out."""
from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from glipkit.apis.build import find_config
from glipkit.apis.index import shipped_weights
from glipkit.benchmarks.models import add_model_arguments, compare, settings, workload
from glipkit.benchmarks.workload import PROMPTS, count_tokens, read_classes
from glipkit.errors import UserError

SUMMARY = 'time detection against another implementation'
IMAGE = '800x1216'
EXAMPLES = '''examples:
  glipkit bench predict
  glipkit bench predict --config glip-t-c --peer mmdet --rounds 3
  glipkit bench predict --peer hf-mm-grounding-dino --prompt three --out bench
  glipkit bench predict --config glip-t-a --classes "red circle, blue star" --image 640x640
'''
RANDOM = ('Weights are random and score nothing above the threshold, so that no candidate '
          'suppresses anything.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    add_model_arguments(parser, IMAGE, batch=1)
    names = parser.add_mutually_exclusive_group()
    names.add_argument('--prompt', choices=PROMPTS, default='coco80',
                       help='a class list (default: %(default)s)')
    names.add_argument('--classes', metavar='"A, B"|FILE',
                       help='class names, separated by commas or one on each line of a file')
    parser.add_argument('--graphs', action='store_true',
                        help='on a GPU, glipkit replays what it has recorded as CUDA graphs')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Runs the benchmark; see :mod:`glipkit.benchmarks` for what comes back."""
    classes = read_classes(args.prompt, args.classes)
    work = replace(workload(args, classes), graphs=args.graphs)
    if args.graphs and not args.device.startswith('cuda'):
        raise UserError('a GPU for --graphs', f'--device {args.device}', 'leave --graphs out')
    result = compare('predict', work, args)
    if shipped_weights(find_config(args.config)) is None:
        result['notes'].insert(0, RANDOM)
    recorded = {'graphs': True} if args.graphs else {}
    return {'setting': {**settings(work, args), **recorded, 'classes': len(classes),
                        'tokens': count_tokens(classes)}, **result}
