"""Counts what a prediction starts on a GPU, and that the host waits for nothing; needs no GPU."""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.structures import DetDataSample
from torch import Tensor

from glipkit.apis.build import RANDOM, find_config, load
from glipkit.benchmarks.launches import StandIn
from glipkit.benchmarks.workload import PROMPTS, count_tokens, read_classes, read_size
from glipkit.errors import UserError
from glipkit.models.detectors.glip import GLIP
from glipkit.models.kernels.graphs import Function, RecordedCalls, Recording
from glipkit.text.query import Query

SUMMARY = 'count what a prediction starts on a GPU, on any machine'
EXAMPLES = '''examples:
  glipkit bench launches
  glipkit bench launches --config glip-t-c --prompt three --image 800x1344 --out bench
'''
BATCHES = (1, 8)
PRECISIONS = {'float32': None, 'bf16': torch.bfloat16}
NOTES = (
    'Counted without a GPU: tensors without values take the branches of one. Each operator that is '
    'no view counts as one launch, attention as one kernel, our own operator as one for each map; '
    'some operators start several.',
    'Up to the suppression of overlaps nothing makes the host wait: a wait would have been an '
    'error. Words were read before, as over a data set. Under bf16, autocast turns each weight '
    'once in a prediction.',
    'Recorded: what is left for the host where CUDA graphs replay tower and head.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--config', default='glip-t-c',
                        help='model name or config of a GLIP (default: %(default)s)')
    parser.add_argument('--image', default='800x1216', metavar='HxW',
                        help='height and width in pixels (default: %(default)s)')
    parser.add_argument('--prompt', choices=PROMPTS, default='coco80',
                        help='a class list (default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Runs the benchmark; see :mod:`glipkit.benchmarks` for what comes back."""
    size, classes = read_size(args.image), read_classes(args.prompt, None)
    find_config(args.config)
    model = load(args.config, RANDOM)
    if not isinstance(model, GLIP):
        raise UserError('a GLIP', f'{args.config}, a {type(model).__name__}', 'name a GLIP')
    gpu = StandIn()
    gpu.move(model)
    rows = [count(gpu, model, classes, size, batch, dtype)
            for dtype in PRECISIONS for batch in BATCHES]
    return {'setting': {'config': args.config, 'image': args.image, 'classes': len(classes),
                        'tokens': count_tokens(classes)}, 'rows': rows, 'notes': list(NOTES)}


def count(gpu: StandIn, model: GLIP, classes: Sequence[str], size: tuple[int, int], batch: int,
          dtype: str) -> dict[str, Any]:
    """A row of the table.

    Args:
        gpu: The stand-in that the model is on.
        model: The detector, in evaluation mode.
        classes: Class names.
        size: Height and width of the images.
        batch: Number of images.
        dtype: Name in `PRECISIONS`.
    """
    sample = DetDataSample(metainfo=dict(text=tuple(classes)))
    queries = [Query.of_sample(sample)] * batch

    def predict() -> tuple[int, int]:
        """Launches of the tower and of all."""
        images = gpu.empty(batch, 3, *size)
        gpu.launches.clear()
        maps = model._maps(images)
        tower = sum(gpu.launches.values())
        list(model._ground(maps, queries))
        return tower, sum(gpu.launches.values())

    with torch.no_grad(), gpu.used(PRECISIONS[dtype]):
        predict()  # reads the words and makes tables
        torch.clear_autocast_cache()
        tower, total = predict()
        convolutions = gpu.launches['deform_columns']
        model.graphs = RecordedCalls(record=lambda *call: _recorded(gpu, *call))
        try:
            predict()
            _, recorded = predict()
        finally:
            model.graphs = None
    return {'candidate': f'{dtype}, batch {batch}', 'tower': tower,
            'head and scores': total - tower, 'all': total,
            'of deformable convolutions': convolutions, 'waits': 0, 'recorded': recorded}


def _recorded(gpu: StandIn, function: Function, inputs: list[Tensor]) -> Recording:
    """A recording whose replay is one launch."""
    with gpu.as_one('recording'):
        outputs = list(function(*inputs))

    def replay() -> None:
        gpu.launches['replay'] += 1

    return Recording(replay, outputs)
