"""Times a training step: forward, backward and AdamW on captions with boxes."""
from __future__ import annotations

import argparse
from typing import Any

from glipkit.benchmarks.models import add_model_arguments, compare, settings, workload
from glipkit.benchmarks.peers import OURS

SUMMARY = 'time a training step against another implementation'
IMAGE = '512x640'
EXAMPLES = '''examples:
  glipkit bench train-step
  glipkit bench train-step --config glip-t-c --peer mmdet --rounds 3 --out bench
  glipkit bench train-step --config glip-t-c --peer mmdet --rounds 3 --save-memory
  glipkit bench train-step --config glip-mini --batch 4 --image 256x256
'''
NOTES = ('Every parameter is trained; captions are encoded in every step.',
         'fixed GiB: weights, gradients and the moments of AdamW; what is left of the peak are '
         'activations, libraries and what malloc keeps.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    add_model_arguments(parser, IMAGE, batch=2)
    parser.add_argument('--save-memory', action='store_true',
                        help='ours with the optimiser of glipkit train --save-memory')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Runs the benchmark; see :mod:`glipkit.benchmarks` for what comes back."""
    work = workload(args, classes=())
    result = compare('train_step', work, args)
    saved = result['measured'][OURS.title]['facts']['saved']
    notes = [f'glipkit as with glipkit train --save-memory: {saved}.'] if saved else []
    result['notes'] = [*NOTES, *notes, *result['notes']]
    return {'setting': {**settings(work, args), 'save memory': args.save_memory}, **result}
