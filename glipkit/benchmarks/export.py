"""Times exported models beside the detector that they came from, and compares what they say."""
from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample

from glipkit.apis.build import find_config, load
from glipkit.apis.index import shipped_weights
from glipkit.benchmarks.harness import alternate_processes, check, rows_beside
from glipkit.benchmarks.runtimes import keep_torch_away, noise
from glipkit.benchmarks.worker import WorkerCall, thread_settings
from glipkit.benchmarks.workload import PROMPTS, read_classes, read_size
from glipkit.common.boxes import box_iou
from glipkit.common.reporter import note
from glipkit.export.description import describe
from glipkit.export.graph import make_graph
from glipkit.export.onnx_file import onnx_program, write_onnx
from glipkit.export.openvino_file import write_openvino
from glipkit.export.question import make_question
from glipkit.export.settings import FORMATS, ExportSettings
from glipkit.models.contract import GroundingDetector
from glipkit.runtime.model import Model
from glipkit.runtime.rules import detections
from glipkit.text.query import Query

SUMMARY = 'time exported models against the detector in PyTorch'
EXAMPLES = '''examples:
  glipkit bench export
  glipkit bench export --config glip-t-c --image 800x1344 --rounds 3 --out bench
'''
TORCH = 'PyTorch'
#: Candidate -> form of its file.
FORMS = {
    'onnxruntime': dict(format='onnx'), 'OpenVINO': dict(format='openvino'),
    'OpenVINO, float16 weights': dict(format='openvino', dtype='float16'),
    'OpenVINO, bf16': dict(format='openvino', dtype='bf16')}
NOTES = (
    'From a prepared tensor to detections, with the words read before. PyTorch runs `predict` of '
    'the detector with the kernels it has for processors.',
    'Differences are the largest ones of the raw outputs from those of the detector, all anchors '
    'and labels; boxes in pixels. Same boxes: share of the detections (threshold 0, so that random '
    'weights find something) with one of the same label at IoU 0.99 on the other side.',
    'Peak memory is that of the whole process; exported models run without PyTorch in it.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--config', default='glip-mini',
                        help='model name or config that finds its boxes itself '
                             '(default: %(default)s)')
    parser.add_argument('--image', default='320x512', metavar='HxW',
                        help='height and width in pixels, multiples of 32 (default: %(default)s)')
    parser.add_argument('--prompt', choices=PROMPTS, default='three',
                        help='a class list (default: %(default)s)')
    parser.add_argument('--candidates', nargs='+', choices=list(FORMS), default=list(FORMS),
                        metavar='NAME', help=f'of {", ".join(FORMS)} (default: all)')
    add_timing_arguments(parser)



def add_timing_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers how often candidates take turns, on how many threads, with which random numbers."""
    parser.add_argument('--threads', type=int, default=1,
                        help='of each candidate (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=5,
                        help='timed calls of each candidate (default: %(default)s)')
    parser.add_argument('--warmup', type=int, default=1,
                        help='calls before that (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0,
                        help='of random weights and images (default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Runs the benchmark; see :mod:`glipkit.benchmarks` for what comes back."""
    size, classes = read_size(args.image), read_classes(args.prompt, None)
    check({TORCH: None}, args.rounds, args.warmup)
    with tempfile.TemporaryDirectory() as name:
        folder = keep_torch_away(Path(name))
        files, made = _export(args, size, classes, folder)
        work = dict(size=size, threads=args.threads, seed=args.seed)
        load_before = round(os.getloadavg()[0], 2)
        calls = {TORCH: call('export:in_torch', args, dict(
            work, config=args.config, classes=classes))}
        calls |= {one: call('runtimes:exported', args, dict(work, path=str(path)), folder)
                  for one, path in files.items()}
        measured = alternate_processes(calls, args.rounds, args.warmup)
    rows = rows_beside(TORCH, measured, args.rounds)
    for row in rows:
        row |= made.get(row['candidate'], {})
    return {'setting': {'config': args.config, 'image': args.image, 'classes': len(classes),
                        'threads': args.threads, 'rounds': args.rounds, 'warm-up': args.warmup,
                        'load before': load_before},
            'notes': [*NOTES], 'rows': rows,
            'measured': {name: one.as_dict() for name, one in measured.items()}}


def call(target: str, args: argparse.Namespace, arguments: dict[str, Any],
         first: Path | None = None) -> WorkerCall:
    """A job of this room in a process with as many threads; ``first`` in front of its path."""
    environment = thread_settings(args.threads)
    if first is not None:
        own = str(Path(__file__).parents[2])
        before = [part for part in (os.environ.get('PYTHONPATH'), ) if part]
        environment['PYTHONPATH'] = os.pathsep.join([str(first), own, *before])
    return WorkerCall(f'glipkit.benchmarks.{target}', arguments, sys.executable, environment)


def _load(config: str, seed: int) -> GroundingDetector:
    torch.manual_seed(seed)
    return load(config, None if shipped_weights(find_config(config)) else 'random')


def _export(args: argparse.Namespace, size: tuple[int, int], classes: Sequence[str],
            folder: Path) -> tuple[dict[str, Path], dict[str, dict[str, Any]]]:
    """Files of all candidates, and what they say beside the detector."""
    model = _load(args.config, args.seed)
    form = model.tensor_form(Query.for_classes(classes))
    image = noise(size, args.seed)
    with torch.no_grad():
        expected = dict(zip(form.outputs, map(
            np.asarray, form(torch.from_numpy(image), *form.words.values()))))
    note(f'tracing {args.config}')
    question, plain = make_question(model, classes, None), ExportSettings(size=size)
    program = onnx_program(make_graph(form, plain), form.divisor)
    files, made = {}, {}
    for i, name in enumerate(args.candidates):
        settings = ExportSettings(size=size, **FORMS[name])
        path = folder / f'{i}{FORMATS[settings.format]}'
        text = describe(question, form, settings, ()).to_json()
        if settings.format == 'onnx':
            write_onnx(program, path, text)
        else:
            write_openvino(program, path, text, settings.dtype)
        runtime = Model(path, threads=args.threads)
        files[name] = path
        made[name] = {**differences(expected, runtime.raw(image), form.rules,
                                    tuple(form.starts.tolist()), size),
                      'MiB': round(sum(file.stat().st_size for file in folder.glob(f'{i}.*'))
                                   / 2**20, 1)}
    return files, made


def differences(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray],
                rules: Mapping[str, Any], starts: Sequence[int],
                size: tuple[int, int]) -> dict[str, Any]:
    """How far the outputs of two forms of a model are from each other.

    Args:
        expected: Raw outputs of the detector.
        found: Those of an exported file.
        rules: What they mean.
        starts: Label at which each prompt starts.
        size: (height, width) of the image.

    Returns:
        Columns of a table.
    """
    far = {name: float(np.abs(expected[name] - found[name]).max()) for name in expected}
    scores = max(far[name] for name in ('scores', 'centerness') if name in far)
    rules = dict(rules, score_threshold=0.)
    a, b = (detections(outputs, rules, starts, size) for outputs in (expected, found))
    alike = (box_iou(a.boxes, b.boxes) > 0.99) & (a.labels[:, None] == b.labels)
    both = [alike.any(axis).mean() if alike.shape[1 - axis] else 1. for axis in (0, 1)]
    return {'scores differ': f'{scores:.1e}', 'boxes differ': f'{far["boxes"]:.1e}',
            'same boxes': f'{100 * min(both):.1f} %'}


def in_torch(config: str, classes: Sequence[str], size: Sequence[int], threads: int,
             seed: int) -> Callable[[], None]:
    """A job: the detector itself. Arguments as of :func:`~.runtimes.exported`, and the model's."""
    torch.set_num_threads(threads)
    model, height_width = _load(config, seed), tuple(size)
    image = torch.from_numpy(noise(height_width, seed))
    details: dict[str, Any] = {'cpu_seconds': []}

    def job() -> None:
        begin = time.process_time()
        sample = DetDataSample(metainfo=dict(text=tuple(classes), img_shape=height_width,
                                             ori_shape=height_width))
        with torch.no_grad():
            model.predict(image, [sample])
        details['cpu_seconds'].append(time.process_time() - begin)

    job.details = details
    return job
