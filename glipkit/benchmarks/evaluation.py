"""LVIS AP over a validation set of real size: time and memory against mmdet's ``LVISMetric``.

The ground truth is synthetic and LVIS-like: classes as unequal as there, a few judged per image,
and detections that copy its boxes, more or less well, among random ones. Every candidate reads the
same files in a process of its own. The peer is a wrapper of the ``lvis`` package (extra ``test``),
which needs ``np.float``; its process gets that back.
"""
from __future__ import annotations

import argparse
import json
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.benchmarks.worker import Worker, WorkerCall
from glipkit.common.reporter import track
from glipkit.errors import UserError

CANDIDATES = ('glipkit fixed', 'glipkit capped', 'mmdet LVISMetric')
PEER = CANDIDATES[-1]
SUMMARY = 'time LVIS AP, and what memory it takes, against mmdet'
EXAMPLES = '''examples:
  glipkit bench evaluation
  glipkit bench evaluation --images 1000 --limit 120 --out bench
  glipkit bench evaluation --images 20000 --without-peer
'''
NOTES = ('Seconds run from the files to the scores, reading the annotations included. The peer '
         'computes capped AP.',
         'Idle is what a process holds before: libraries and the detections. Peak includes it.')
_SIZE = (480, 640)  # height and width of all images
_GIB = 2**30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--images', type=int, nargs='+', default=[1000, 5000], metavar='N',
                        help='numbers of images, each a world of its own (default: 1000 5000)')
    parser.add_argument('--classes', type=int, default=1203, metavar='N',
                        help='default: %(default)s, as LVIS v1')
    parser.add_argument('--detections', type=int, default=300, metavar='N',
                        help='of each image (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the worlds')
    parser.add_argument('--limit', type=int, default=600, metavar='SECONDS',
                        help='after which a candidate is given up (default: %(default)s)')
    parser.add_argument('--memory-gib', type=float, default=16, metavar='GIB',
                        help='address space of a candidate (default: %(default)s)')
    parser.add_argument('--without-peer', action='store_true', help='time glipkit alone')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Times all candidates on all sizes, once each: the peer takes minutes, the ratio is large.

    Args:
        args: Arguments of `add_arguments`.

    Returns:
        ``setting``, ``notes``, ``rows`` (per size and candidate) and ``worlds``, with all metrics
        that the candidates came to.

    Raises:
        UserError: Numbers that are not positive.
    """
    numbers = [*args.images, args.classes, args.detections, args.limit, args.memory_gib]
    if min(numbers) <= 0:
        raise UserError('positive sizes and limits', repr(min(numbers)), 'pass larger numbers')
    worlds = [_run_world(args, images) for images in args.images]
    return {
        'setting': {'classes': args.classes, 'detections per image': args.detections,
                    'limit': f'{args.limit} s, {args.memory_gib:g} GiB of address space'},
        'notes': [*NOTES], 'rows': [row for world in worlds for row in _rows(world)],
        'worlds': worlds}


def _run_world(args: argparse.Namespace, images: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        details = write_world(Path(folder), images, args.classes, args.detections, args.seed)
        names = CANDIDATES[:-1] if args.without_peer else CANDIDATES
        return {**details, 'candidates': {name: _measure(name, folder, args.limit, args.memory_gib)
                                        for name in names}}


def _rows(world: dict[str, Any]) -> list[dict[str, Any]]:
    """One table row per candidate; sizes in GiB, times in seconds."""
    peer = world['candidates'].get(PEER, {})
    rows = []
    for name, found in world['candidates'].items():
        row = {'images': world['images'], 'candidate': name,
               'seconds': round(found['seconds'], 2) if 'seconds' in found else found['gave_up'],
               'peak GiB': _gib(found['peak_bytes']), 'idle GiB': _gib(found['idle_bytes'])}
        ours = found.get('seconds')
        if name != PEER and ours and 'seconds' in peer:
            row['peer takes'] = f"{peer['seconds'] / ours:.0f}x"
        elif name != PEER and ours and 'TimeoutError' in peer.get('gave_up', ''):
            row['peer takes'] = f"> {peer['given_seconds'] / ours:.0f}x"
        rows.append({**row, **_main_scores(found.get('metrics', {}))})
    return rows


def _gib(size: int | None) -> float | str:
    return 'unknown' if size is None else round(size / _GIB, 2)


def _main_scores(metrics: dict[str, float]) -> dict[str, float]:
    """AP and APr, whatever stands before them."""
    return {name: round(value, 4) for key, value in metrics.items()
            for name in ('AP', 'APr') if key.replace('/', '_').endswith(f'_{name}')}


def _measure(name: str, folder: str, limit: int, memory_gib: float) -> dict[str, Any]:
    call = WorkerCall('glipkit.benchmarks.evaluation:make_job',
                      dict(name=name, folder=folder, limit=limit, memory_gib=memory_gib),
                      environment={'OMP_NUM_THREADS': '1'})
    with Worker(name, call) as worker:
        found: dict[str, Any] = {'idle_bytes': worker.idle_bytes, 'given_seconds': limit}
        try:
            found['seconds'] = worker.call()
        except RuntimeError as error:  # its own message: out of time, or of memory
            found['gave_up'] = str(error).strip().splitlines()[-1]
        try:
            found['peak_bytes'] = worker.peak_bytes
            found.update(worker.details)
        except (RuntimeError, ValueError):
            found['peak_bytes'] = None  # the process is gone; nobody can say
    return found


def make_job(name: str, folder: str, limit: int, memory_gib: float) -> Callable[[], None]:
    """The function to time in a process of its own, which gets limits that it keeps.

    Args:
        name: One of `CANDIDATES`.
        folder: Folder from `write_world`.
        limit: Seconds after which it raises TimeoutError.
        memory_gib: Address space beyond which allocations fail.
    """
    job = load_job(name, folder)
    size = int(memory_gib * _GIB)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))

    def limited() -> None:
        with time_limit(limit):
            job()
        limited.details = job.details

    return limited


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in a block that takes longer, wherever it is."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f'gave up after {seconds} s')

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def load_job(name: str, folder: str) -> Callable[[], None]:
    """From the annotations to the scores, with the detections in memory; arguments as above.

    The function leaves its metrics in its attribute ``details``.
    """
    ann_file, make_metric = str(Path(folder) / 'lvis.json'), _metric_maker(name)
    with np.load(Path(folder) / 'detections.npz') as arrays:
        detections = {key: arrays[key] for key in arrays.files}
    names = tuple(category['name'] for category in
                  json.loads((Path(folder) / 'classes.json').read_text()))

    def job() -> None:
        metric = make_metric(ann_file)
        metric.dataset_meta = {'classes': names}
        for sample in _samples(detections, names):
            metric.process({}, [sample])
        found = metric.evaluate(len(detections['first']) - 1)
        job.details = {'metrics': {key: float(value) for key, value in found.items()}}

    return job


def _metric_maker(name: str) -> Callable[[str], Any]:
    if name != PEER:
        from glipkit.evaluation import LvisMetric
        # The peer takes boxes as they are.
        return lambda ann_file: LvisMetric(ann_file, bound=name.split()[1], trim_pixel=False)
    try:
        import lvis  # noqa: F401
    except ImportError as error:
        raise UserError("the package 'lvis' for the comparison", 'none installed',
                        'pip install glipkit[test], or pass --without-peer') from error
    np.float = float  # the package was written for numpy before 1.24
    from mmdet.evaluation.metrics import LVISMetric
    return LVISMetric


def _samples(detections: dict[str, np.ndarray], names: tuple[str, ...]) -> Iterator[dict]:
    import torch
    first = detections['first']
    for i, (low, high) in enumerate(zip(first[:-1], first[1:])):
        yield dict(
            img_id=int(detections['image_ids'][i]), ori_shape=_SIZE, text=names,
            pred_instances=dict(
                bboxes=torch.from_numpy(detections['boxes'][low:high]),
                scores=torch.from_numpy(detections['scores'][low:high]),
                labels=torch.from_numpy(detections['labels'][low:high])))


# -- the world ------------------------------------------------------------------------------------


def write_world(folder: Path, images: int, classes: int, per_image: int,
                seed: int = 0) -> dict[str, int]:
    """Writes lvis.json, classes.json and detections.npz.

    Args:
        folder: Folder to write to.
        images: Number of images, all judged for a few classes.
        classes: Number of classes; the k-th most frequent one is 1 / k as frequent as the first.
        per_image: Detections of each image.
        seed: Seed of everything random.

    Returns:
        Numbers of images, classes, boxes and detections.
    """
    rng = np.random.default_rng(seed)
    chance = 1 / np.arange(1, classes + 1)
    chance /= chance.sum()
    categories = [dict(id=k + 1, name=f'class {k}', frequency='fcr'[3 * k // classes])
                  for k in range(classes)]
    records, annotations, parts = [], [], []
    for i in track(range(images), 'making the world', unit='image'):
        judged = rng.choice(classes, min(classes, 10), replace=False, p=chance)
        present, absent = judged[:rng.integers(1, 7)], judged[7:]
        labels = np.repeat(present, rng.integers(1, 7, len(present)))
        boxes = _boxes(rng, len(labels))
        records.append(dict(id=i + 1, height=_SIZE[0], width=_SIZE[1], file_name=f'{i + 1}.jpg',
                            neg_category_ids=(absent + 1).tolist(),
                            not_exhaustive_category_ids=(present[rng.random(len(present)) < .1]
                                                         + 1).tolist()))
        for label, (x1, y1, x2, y2) in zip(labels.tolist(), boxes.tolist()):
            annotations.append(dict(
                id=len(annotations) + 1, image_id=i + 1, category_id=label + 1,
                bbox=[x1, y1, x2 - x1, y2 - y1], area=(x2 - x1) * (y2 - y1),
                segmentation=[[x1, y1, x2, y1, x2, y2, x1, y2]]))
        parts.append(_detections(rng, labels, boxes, judged, classes, per_image))
    content = dict(images=records, annotations=annotations, categories=categories)
    (folder / 'lvis.json').write_text(json.dumps(content))
    (folder / 'classes.json').write_text(json.dumps(categories))
    boxes, scores, labels = (np.concatenate(column) for column in zip(*parts))
    np.savez(folder / 'detections.npz', boxes=boxes, scores=scores, labels=labels,
             image_ids=np.arange(1, images + 1), first=np.arange(images + 1) * per_image)
    return dict(images=images, classes=classes, boxes=len(annotations), detections=len(scores))


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 4) xyxy in the image, of all area ranges."""
    sides = np.exp(rng.uniform(np.log(8), np.log(300), (count, 2)))
    corner = rng.uniform(0, 1, (count, 2)) * (np.array(_SIZE[::-1]) - sides)
    return np.concatenate([corner, corner + sides], 1).round(2)


def _detections(rng: np.random.Generator, labels: np.ndarray, boxes: np.ndarray,
                judged: np.ndarray, classes: int, count: int) -> tuple[np.ndarray, ...]:
    """Boxes (count, 4), scores and labels: a third copies, a third judged, a third of any class."""
    source = rng.integers(0, len(labels), count // 3)
    sides = np.tile(boxes[source, 2:] - boxes[source, :2], 2)
    copies = boxes[source] + rng.normal(0, .1, (len(source), 4)) * sides
    copies[:, 2:] = np.maximum(copies[:, 2:], copies[:, :2] + 1)
    others = count - len(source)
    all_labels = np.concatenate([labels[source], rng.choice(judged, others // 2),
                                 rng.integers(0, classes, others - others // 2)])
    scores = np.concatenate([rng.beta(2, 2, len(source)), rng.beta(1, 5, others)])
    all_boxes = np.concatenate([copies, _boxes(rng, others)])
    return all_boxes.astype(np.float32), scores.astype(np.float32), all_labels.astype(np.int64)
