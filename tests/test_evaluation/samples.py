"""Data samples as models return them, and metrics run over them as mmengine does."""
from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from mmdet.structures import DetDataSample
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.structures import InstanceData


def predicted(img_id: int, found: Sequence[tuple] = (), **text: object) -> DetDataSample:
    """A sample with predictions.

    Args:
        img_id: Its image.
        found: Per detection (label, xyxy box, score).
        **text: ``text`` and, for captions, ``phrases``.
    """
    sample = DetDataSample(metainfo=dict(img_id=img_id, **text))
    sample.pred_instances = InstanceData(
        labels=torch.tensor([f[0] for f in found], dtype=torch.int64),
        bboxes=torch.tensor([f[1] for f in found], dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor([f[2] for f in found], dtype=torch.float32))
    return sample


def evaluate(metric: BaseMetric, samples: Sequence[DetDataSample]) -> dict[str, float]:
    """Metrics over the samples, one by one."""
    evaluator = Evaluator(metric)
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples))


def evaluate_on_two(make: Callable[[], BaseMetric], parts: Sequence[Sequence[DetDataSample]],
                    folder: Path) -> list[dict[str, float]]:
    """Metrics as two processes have them, each with its part of the samples.

    Args:
        make: Makes the metric, in both.
        parts: Samples of the first and of the second process.
        folder: For the file through which the two meet.
    """
    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    workers = [context.Process(target=_one_rank, args=(r, make, parts[r], folder / 'store', queue))
               for r in range(2)]
    for worker in workers:
        worker.start()
    results = dict(queue.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(timeout=60)
    return [results[0], results[1]]


def _one_rank(rank: int, make: Callable, samples: Sequence, store: Path, queue: object) -> None:
    torch.distributed.init_process_group('gloo', f'file://{store}', rank=rank, world_size=2)
    try:
        queue.put((rank, evaluate(make(), samples)))
    except Exception as error:  # what went wrong in the other process is for the test to say
        queue.put((rank, f'{type(error).__name__}: {error}'))
    torch.distributed.destroy_process_group()
