"""Times a distilled student beside a detector of any words, each at its own usual size."""
from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmdet.structures import DetDataSample

from glipkit.benchmarks.export import add_timing_arguments, call
from glipkit.benchmarks.harness import alternate_processes, check, ratio, rows_beside
from glipkit.benchmarks.runtimes import keep_torch_away, noise
from glipkit.benchmarks.workload import PROMPTS, read_classes, read_size
from glipkit.distil.structures import ONNX
from glipkit.distil.student import Student
from glipkit.distil.training import CONFIG, WEIGHTS
from glipkit.errors import UserError

SUMMARY = 'time a distilled student against a detector of any words'
EXAMPLES = '''examples:
  glipkit bench student --student fruit/student
  glipkit bench student --student fruit/student --config glip-photo --image 256x256 --rounds 9
'''
#: Least factor between the detector and the student.
LEAST = 30.
NOTES = (
    'From a prepared tensor to detections; the words are read before. Each has images of its own '
    'usual size; the weights of a detector without shipped ones are random, which changes no time.',
    'Processes take turns.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--student', type=Path, required=True, metavar='DIR',
                        help='folder of a student that glipkit distil has made')
    add_speed_arguments(parser)


def add_speed_arguments(parser: argparse.ArgumentParser) -> None:
    """All but the student."""
    parser.add_argument('--config', default='glip-t-c',
                        help='the other detector: a model name or config (default: %(default)s)')
    parser.add_argument('--image', default='800x1216', metavar='HxW',
                        help='height and width for it in pixels, multiples of 32 '
                             '(default: %(default)s)')
    parser.add_argument('--prompt', choices=PROMPTS, default='three',
                        help='its class list (default: %(default)s)')
    add_timing_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Runs the benchmark; see :mod:`glipkit.benchmarks` for what comes back.

    Raises:
        UserError: The folder holds no student.
    """
    folder = args.student.resolve()
    if not (folder / WEIGHTS).is_file():
        raise UserError('the folder of a student that glipkit distil has made',
                        f'no {folder / WEIGHTS}', 'pass that folder')
    size, classes = read_size(args.image), read_classes(args.prompt, None)
    check({args.config: None}, args.rounds, args.warmup)
    side = Student(folder / CONFIG, folder / WEIGHTS).cfg.size
    work = dict(threads=args.threads, seed=args.seed)
    load_before = round(os.getloadavg()[0], 2)
    with tempfile.TemporaryDirectory() as name:
        calls = {args.config: call('export:in_torch', args, dict(
            work, size=size, config=args.config, classes=classes)),
            'student, PyTorch': call('student:in_torch', args, dict(
                work, folder=str(folder), size=[side, side]))}
        if (folder / ONNX).is_file():
            calls['student, onnxruntime'] = call('runtimes:exported', args, dict(
                work, path=str(folder / ONNX), size=[side, side]), keep_torch_away(Path(name)))
        measured = alternate_processes(calls, args.rounds, args.warmup)
    rows = rows_beside(args.config, measured, args.rounds)
    for row in rows:
        factor = ratio(measured[args.config].timing, measured[row['candidate']].timing)
        row['times as fast'] = round(factor, 1)
        if row['candidate'] != args.config:
            row['at least 30x'] = 'met' if factor >= LEAST else 'missed'
    return {'setting': {'config': args.config, 'image': args.image, 'student': f'{side}x{side}',
                        'classes': len(classes), 'threads': args.threads, 'rounds': args.rounds,
                        'warm-up': args.warmup, 'load before': load_before},
            'notes': [*NOTES], 'rows': rows,
            'measured': {name: one.as_dict() for name, one in measured.items()}}


def in_torch(folder: str, size: tuple[int, int], threads: int, seed: int) -> Callable[[], None]:
    """A job: a student in PyTorch, from its tensor to detections.

    Args:
        folder: Folder of the student.
        size: (height, width) of the image.
        threads: Of torch.
        seed: Of the image.
    """
    torch.set_num_threads(threads)
    model = Student(Path(folder, CONFIG), Path(folder, WEIGHTS)).model
    height_width = tuple(size)
    image = torch.from_numpy(noise(height_width, seed))
    details: dict[str, Any] = {'cpu_seconds': []}

    def job() -> None:
        begin = time.process_time()
        sample = DetDataSample(metainfo=dict(img_shape=height_width, ori_shape=height_width,
                                             scale_factor=(1., 1.)))
        with torch.no_grad():
            model.predict(image, [sample])
        details['cpu_seconds'].append(time.process_time() - begin)

    job.details = details
    return job
