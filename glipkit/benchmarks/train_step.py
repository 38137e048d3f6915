"""Times a training step: forward, backward and AdamW on captions with boxes."""
from __future__ import annotations

import argparse
from typing import Any

from glipkit.benchmarks.models import add_model_arguments, compare, settings, workload

SUMMARY = 'time a training step against another implementation'
IMAGE = '512x640'
EXAMPLES = '''examples:
  glipkit bench train-step
  glipkit bench train-step --config glip-t-c --peer mmdet --rounds 3 --out bench
  glipkit bench train-step --config glip-mini --batch 4 --image 256x256
'''
NOTES = ('Every parameter is trained; captions are encoded in every step.',
         'fixed GiB: weights, gradients and the moments of AdamW, the same whoever computes; what '
         'is left of the peak are activations, libraries and what malloc keeps.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    add_model_arguments(parser, IMAGE, batch=2)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Runs the benchmark; see :mod:`glipkit.benchmarks` for what comes back."""
    work = workload(args, classes=())
    result = compare('train_step', work, args)
    result['notes'] = [*NOTES, *result['notes']]
    return {'setting': settings(work, args), **result}
