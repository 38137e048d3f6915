"""Times the labelling of image-caption pairs against a predictor that is called for each pair.

Pictures and captions come from the shapes world. The peer is `Predictor`, called with one image and
its caption at a time, with all cores for each; the labeller's workers have one core each. All read
the same files and find the phrases of the same captions. The limit is what the processor does: a
pair cannot take less time than the processor time of one worker divided by the cores.
"""
from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from glipkit.apis.build import check_device, checkpoint_for, find_config
from glipkit.apis.index import default_model
from glipkit.apis.predictor import Predictor
from glipkit.benchmarks.harness import alternate_processes, check, rows_beside
from glipkit.benchmarks.worker import WorkerCall
from glipkit.common.precision import check_dtype
from glipkit.data.formats.captioned import CaptionedShard
from glipkit.errors import UserError
from glipkit.labelling.grounder import CaptionGrounder
from glipkit.labelling.settings import LabelSettings
from glipkit.text.phrases import extract_phrases
from glipkit.worlds import shapes
from glipkit.worlds.pairs import hide_boxes

SUMMARY = 'time the labelling of image-caption pairs against single predictions'
EXAMPLES = '''examples:
  glipkit bench labelling
  glipkit bench labelling --config glip-t-c --checkpoint random --pairs 8 --rounds 3
'''
SINGLE, ONE = 'image by image', 'one worker'
NOTES = ('Image by image a predictor is called for each pair, on all cores; a worker labels '
         'batches on one core. CPU s is the processor time of all threads.', )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--config', default=default_model(), help='teacher (default: %(default)s)')
    parser.add_argument('--checkpoint', metavar='FILE',
                        help='weights, or random; default: those of its name')
    parser.add_argument('--pairs', type=int, default=128,
                        help='pairs of one round (default: %(default)s)')
    parser.add_argument('--workers', type=int,
                        help='threads of one core each (default: all cores)')
    parser.add_argument('--batch-size', type=int, default=LabelSettings.batch_size,
                        help='largest number of images of a batch (default: %(default)s)')
    parser.add_argument('--dtype', default='float32',
                        help='of all candidates: float32, bf16, or half on a GPU '
                             '(default: %(default)s)')
    parser.add_argument('--device', default='cpu', help='device (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=1,
                        help='of the world, and of random weights (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=5,
                        help='timed rounds (default: %(default)s)')
    parser.add_argument('--warmup', type=int, default=1,
                        help='rounds before them (default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Runs the benchmark; see :mod:`glipkit.benchmarks` for what comes back.

    Raises:
        UserError: Numbers that are not positive, a teacher without weights, or results that depend
            on the number of workers.
    """
    find_config(args.config)
    check_dtype(args.dtype, check_device(args.device))
    check({SINGLE: None}, args.rounds, args.warmup)
    cores = torch.get_num_threads()
    workers = cores if args.workers is None else args.workers
    if min(args.pairs, workers, args.batch_size) < 1:
        raise UserError('pairs, workers and a batch size of at least 1',
                        f'{args.pairs}, {workers}, {args.batch_size}', 'raise them')
    checkpoint = str(checkpoint_for(args.config, args.checkpoint))
    load = round(os.getloadavg()[0], 2)
    candidates = {SINGLE: 0, ONE: 1, f'{workers} workers': workers}
    with tempfile.TemporaryDirectory() as folder:
        shapes.build(folder, args.seed, 1, args.pairs, 1)
        hide_boxes(Path(folder))
        common = dict(config=args.config, checkpoint=checkpoint, folder=folder, seed=args.seed,
                      batch_size=args.batch_size, dtype=args.dtype, device=args.device)
        measured = alternate_processes({
            name: WorkerCall('glipkit.benchmarks.labelling:Job', dict(common, workers=number),
                             sys.executable, {'OMP_NUM_THREADS': str(cores)})
            for name, number in candidates.items()}, args.rounds, args.warmup)
    _check_equal([one.details['lines'] for name, one in measured.items() if name != SINGLE])
    rows = rows_beside(SINGLE, measured, args.rounds)
    for row in rows:
        row['pairs / s'] = float(f"{args.pairs / row['median s']:.4g}")
    return {'setting': {'config': args.config, 'pairs': args.pairs, 'batch': args.batch_size,
                        'dtype': args.dtype, 'device': args.device, 'cores': cores,
                        'rounds': args.rounds, 'warm-up': args.warmup, 'load before': load},
            'notes': [*NOTES, _summary(rows, measured[SINGLE].timing.median, cores)],
            'rows': rows,
            'measured': {name: one.as_dict() for name, one in measured.items()}}


def _summary(rows: list[dict[str, Any]], single: float, cores: int) -> str:
    one, all_workers = rows[1], rows[-1]
    limit = one['CPU s'] / cores
    return (f'{all_workers["candidate"]} label {single / all_workers["median s"]:.2f}x as many '
            f'pairs as image by image, and the lines of one worker. At most {single / limit:.2f}x '
            f'can be reached, were nothing lost between {cores} cores.')


def _check_equal(digests: list[str]) -> None:
    if len(set(digests)) > 1:
        raise UserError('the same lines from any number of workers', 'others',
                        'report this as an error of glipkit')


class Job:
    """One candidate: it labels all pairs of a world at each call.

    Args:
        config: Name or config of the teacher.
        checkpoint: Its weights.
        folder: Folder of the world, with ``pairs.jsonl``.
        seed: Of random weights.
        batch_size: Of a labeller.
        workers: Of a labeller; 0 calls the predictor image by image.
        dtype: What the teacher computes in.
        device: Where.

    Attributes:
        details: ``cpu_seconds`` of each call, and ``lines``, a digest of what was found last.
    """

    def __init__(self, config: str, checkpoint: str, folder: str, seed: int, batch_size: int,
                 workers: int, dtype: str, device: str) -> None:
        torch.manual_seed(seed)
        self._predictor = Predictor(config, checkpoint, device, dtype=dtype, per_object='all')
        self._shard = CaptionedShard(Path(folder) / 'pairs.jsonl',
                                     Path(folder) / 'images/train_grd')
        self._settings = LabelSettings(batch_size=batch_size)
        self._workers = workers
        self.details: dict[str, Any] = {'cpu_seconds': [], 'lines': ''}

    def __call__(self) -> None:
        """Labels all pairs; captions are read anew."""
        self._predictor.model.text_cache.clear()
        work: Callable[[], None] = self._label if self._workers else self._call_for_each
        begin = time.process_time()
        work()
        self.details['cpu_seconds'].append(time.process_time() - begin)

    def _call_for_each(self) -> None:
        for row in range(len(self._shard)):
            pair = self._shard[row]
            caption = pair.captions[0]
            spans = extract_phrases(caption, self._settings.backend, self._settings.picture_words)
            self._predictor(pair.image, caption=caption, phrases=spans,
                            score_threshold=self._settings.score)

    def _label(self) -> None:
        labels = CaptionGrounder(self._predictor, self._settings, self._workers).label(
            self._shard, range(len(self._shard)))
        self.details['lines'] = hashlib.sha256(repr(labels.lines).encode()).hexdigest()
