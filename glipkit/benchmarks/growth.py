"""How time and memory grow: over image size, class names, batch, and size of the training set.

Every point is a process of its own. Through the points of a curve goes a power law, whose exponent
says what a user of twice the size has to expect.
"""
from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from glipkit.apis.build import check_device, find_config
from glipkit.benchmarks.exponents import Curve, fit, plot
from glipkit.benchmarks.growth_sets import JOBS, write_set
from glipkit.benchmarks.harness import GIB, Measured, alternate_processes, check
from glipkit.benchmarks.worker import WorkerCall, thread_settings
from glipkit.benchmarks.workload import DTYPES, Workload, read_classes, read_size
from glipkit.common.reporter import note
from glipkit.errors import UserError
from glipkit.files import make_folder

SUMMARY = 'how time and memory grow with images, class names, batch and training set'
EXAMPLES = '''examples:
  glipkit bench growth --over image
  glipkit bench growth --over classes --at 1 10 100 --config glip-mini
  glipkit bench growth --over set --out bench      # writes growth.svg as well
'''
NOTES = (
    'Each point is a process of its own. work GiB is the peak of its memory less what libraries, '
    'weights and inputs took before the first call.',
    'slope: logarithm of the ratio of times over that of the ratio of sizes, from the row above; '
    '1 is proportional.')
IMAGE = (512, 640)


@dataclass(frozen=True)
class Axis:
    """What grows.

    Attributes:
        unit: What a size counts.
        points: Sizes, as the command line has them.
        curves: What is timed at each.
        size: A point of the command line -> its size.
    """
    unit: str
    points: tuple[str, ...]
    curves: tuple[str, ...]
    size: Callable[[str], int]


def _pixels(point: str) -> int:
    height, width = read_size(point)
    return height * width


def _count(point: str) -> int:
    if not point.isdecimal() or int(point) < 1:
        raise UserError('whole numbers from 1 for --at', repr(point), 'correct it')
    return int(point)


AXES = {
    'image': Axis('pixels', ('256x320', '384x480', '512x640', '640x832', '800x1216'),
                  ('predict', 'train-step'), _pixels),
    'classes': Axis('class names', ('1', '3', '10', '30', '80', '200', '500', '1203'),
                    ('predict', ), _count),
    'batch': Axis('images in one call', ('1', '2', '4', '8'), ('predict', 'train-step'), _count),
    'set': Axis('images of the training set', ('1000', '3000', '10000', '30000', '100000'),
                tuple(JOBS), _count),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--over', choices=list(AXES), default='image',
                        help='what grows (default: %(default)s)')
    parser.add_argument('--at', nargs='+', metavar='SIZE',
                        help='sizes, ascending: HxW of images, numbers of all else (default: five '
                             'and more over two or three orders of magnitude)')
    parser.add_argument('--config', default='glip-t-c',
                        help='model name or config; a set is trained on by glip-mini (default: '
                             '%(default)s)')
    parser.add_argument('--dtype', choices=list(DTYPES), default='float32',
                        help='bf16 is autocast to bfloat16 (default: %(default)s)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1 (default: %(default)s)')
    parser.add_argument('--threads', type=int, help='of torch (default: what torch would take)')
    parser.add_argument('--rounds', type=int, default=3,
                        help='timed calls of each point (default: %(default)s)')
    parser.add_argument('--warmup', type=int, default=1,
                        help='calls before that (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0,
                        help='of weights and images (default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Runs the benchmark; see :mod:`glipkit.benchmarks` for what comes back."""
    axis = AXES[args.over]
    sizes = _sizes(axis, args)
    load = round(os.getloadavg()[0], 2)
    measured: dict[str, dict[str, Measured]] = {curve: {} for curve in axis.curves}
    with tempfile.TemporaryDirectory() as folder:
        for point in sizes:
            calls = _calls(point, args, Path(folder))
            for curve, call in calls.items():
                note(f'{curve} at {point} {axis.unit if point.isdecimal() else ""}'.rstrip())
                measured[curve][point] = alternate_processes(
                    {curve: call}, args.rounds, args.warmup)[curve]
    rows = [row for curve, points in measured.items() for row in _rows(curve, axis, sizes, points)]
    curves = {name: _curve(sizes, points) for name, points in measured.items()}
    return {'setting': {**_setting(args), 'load before': load}, 'rows': rows,
            'notes': [*_laws(curves, axis), *NOTES],
            'curves': {name: vars(curve) for name, curve in curves.items()},
            'measured': {name: {point: one.as_dict() for point, one in points.items()}
                         for name, points in measured.items()}}


def draw(content: Mapping[str, Any], folder: Path, name: str) -> Path:
    """Writes the plot of a result beside its files; returns it.

    Args:
        content: What `run` gave.
        folder: Folder of the results.
        name: Name of the files.

    Raises:
        UserError: It cannot be written.
    """
    make_folder(folder)
    over, path = content['setting']['over'], folder / f'{name}.svg'
    plot({one: Curve(**points) for one, points in content['curves'].items()},
         f'Time and memory over {AXES[over].unit}', AXES[over].unit, path)
    return path


def _sizes(axis: Axis, args: argparse.Namespace) -> dict[str, int]:
    """Points of the command line -> their sizes."""
    check(dict.fromkeys(axis.curves), args.rounds, args.warmup)
    find_config(args.config)
    check_device(args.device)
    sizes = {point: axis.size(point) for point in args.at or axis.points}
    values = list(sizes.values())
    if len(values) < 2 or values != sorted(set(values)):
        raise UserError('two or more sizes for --at, each larger than the one before',
                        ' '.join(sizes), 'correct them')
    most = len(read_classes('lvis1203', None))
    if args.over == 'classes' and values[-1] > most:
        raise UserError(f'at most {most} class names, the list of LVIS', str(values[-1]),
                        'pass smaller numbers to --at')
    return sizes


def _threads(args: argparse.Namespace) -> int:
    threads = torch.get_num_threads() if args.threads is None else args.threads
    if threads < 1:
        raise UserError('--threads of at least 1', str(threads), 'pass a larger number')
    return threads


def _calls(point: str, args: argparse.Namespace, folder: Path) -> dict[str, WorkerCall]:
    """Curve -> job of one point."""
    threads = _threads(args)
    environment = {**thread_settings(threads), 'HF_HUB_OFFLINE': '1'}
    if args.over == 'set':
        files = write_set(folder, int(point))
        return {name: WorkerCall(
            f'glipkit.benchmarks.growth_sets:{job}',
            dict(folder=str(files), threads=threads, seed=args.seed), environment=environment)
            for name, job in JOBS.items()}
    work = Workload(args.config, IMAGE, read_classes('coco80', None), 1, args.dtype, args.device,
                    threads=threads, seed=args.seed, count=False)
    if args.over == 'image':
        work = replace(work, image=read_size(point))
    elif args.over == 'batch':
        work = replace(work, batch=int(point))
    else:
        work = replace(work, classes=read_classes('lvis1203', None)[:int(point)])
    works = {'predict': work, 'train-step': replace(work, classes=())}
    return {name: WorkerCall(f'glipkit.benchmarks.tasks:{name.replace("-", "_")}',
                             dict(peer='own', workload=works[name].as_dict()),
                             environment=environment)
            for name in AXES[args.over].curves}


def _rows(curve: str, axis: Axis, sizes: Mapping[str, int],
          measured: Mapping[str, Measured]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    before: tuple[float, float] | None = None
    for point, one in measured.items():
        here = float(sizes[point]), one.timing.median
        law = before and fit((before[0], here[0]), (before[1], here[1]))
        rows.append({
            'of': curve, axis.unit: sizes[point], 'median s': round(one.timing.median, 4),
            'IQR s': round(one.timing.iqr, 4),
            'slope': f'{law.exponent:.2f}' if law else '',
            'peak GiB': round(one.peak_bytes / GIB, 3),
            'work GiB': round(_work(one), 3)})
        before = here
    return rows


def _work(one: Measured) -> float:
    return (one.peak_bytes - one.idle_bytes) / GIB


def _curve(sizes: Mapping[str, int], measured: Mapping[str, Measured]) -> Curve:
    points = measured.values()
    return Curve([*sizes.values()], [one.timing.median for one in points], [*map(_work, points)])


def _laws(curves: Mapping[str, Curve], axis: Axis) -> list[str]:
    """A line per curve with what grows how fast."""
    lines = []
    for name, curve in curves.items():
        laws = {what: fit(curve.x, values) for what, values in
                (('time', curve.seconds), ('memory of the work', curve.gib))}
        said = '; '.join(f'{what}: {law}' for what, law in laws.items() if law)
        lines.append(f'{name} over {axis.unit}: {said or "no power law"}.')
    return lines


def _setting(args: argparse.Namespace) -> dict[str, Any]:
    height, width = IMAGE
    fixed = {'image': {'batch': 1, 'classes': 80},
             'classes': {'batch': 1, 'image': f'{height}x{width}'},
             'batch': {'image': f'{height}x{width}', 'classes': 80}, 'set': {}}[args.over]
    return {'over': args.over, 'config': 'glip-mini' if args.over == 'set' else args.config,
            **fixed, 'dtype': args.dtype, 'device': args.device, 'threads': _threads(args),
            'rounds': args.rounds, 'warm-up': args.warmup}
