"""The two tasks that are timed, as jobs for separate processes."""
from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from glipkit.benchmarks.flops import count_flops
from glipkit.benchmarks.workload import DTYPES, Workload

LEARNING_RATE = 1e-5


class Candidate(Protocol):
    """A model of some library, built for a workload: what every module of ``peers`` makes.

    Attributes:
        model: The whole of it.
        compilable: The parts of it that torch.compile can take.
        details: Information for readers of the results.
    """
    model: nn.Module
    compilable: Sequence[nn.Module]
    details: dict[str, Any]

    def predict(self) -> Any:
        """Answers the workload's classes for its images."""

    def loss(self) -> Tensor:
        """The loss on the workload's images and captions."""


class Task:
    """A function of a candidate under the workload's precision, whose operations may be counted.

    The counted call comes before compilation and is the candidate's first one.
    """

    def __init__(self, candidate: Candidate, work: Workload, step: Callable[[], Any]) -> None:
        self.candidate, self._work, self._step = candidate, work, step
        flops = {'flops': count_flops(self)} if work.count else {}
        if work.compile:
            for module in candidate.compilable:
                module.compile()
        parameters = sum(p.numel() for p in candidate.model.parameters())
        self.details = {**flops, 'parameters': parameters, **candidate.details}

    def __call__(self) -> None:
        self._step()
        if self._work.device.startswith('cuda'):
            torch.cuda.synchronize()


def predict(peer: str, workload: dict[str, Any]) -> Task:
    """A job: detections of the workload's images.

    Args:
        peer: Module in :mod:`glipkit.benchmarks.peers` with a class ``Model``.
        workload: :meth:`Workload.as_dict`.
    """
    work, candidate = _build(peer, workload)
    candidate.model.eval()

    def step() -> None:
        with torch.no_grad(), _precision(work):
            candidate.predict()

    return Task(candidate, work, step)


def train_step(peer: str, workload: dict[str, Any]) -> Task:
    """A job: forward, backward and optimiser step. For the arguments see :func:`predict`."""
    work, candidate = _build(peer, workload)
    candidate.model.train()
    parameters = [p for p in candidate.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, fused=True)

    def step() -> None:
        with _precision(work):
            loss = candidate.loss()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    task = Task(candidate, work, step)
    # A weight, its gradient and the two moments of AdamW.
    task.details['fixed_bytes'] = 4 * sum(p.numel() * p.element_size() for p in parameters)
    return task


def _build(peer: str, workload: dict[str, Any]) -> tuple[Workload, Candidate]:
    work = Workload.from_dict(workload)
    torch.set_num_threads(work.threads)
    torch.manual_seed(work.seed)
    return work, importlib.import_module(f'glipkit.benchmarks.peers.{peer}').Model(work)


def _precision(work: Workload) -> torch.autocast:
    device = torch.device(work.device).type
    return torch.autocast(device, DTYPES['bf16'], enabled=work.dtype == 'bf16')
