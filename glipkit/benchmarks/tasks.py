"""The two tasks that are timed, as jobs for separate processes."""
from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from glipkit.apis.build import find_config, read_config
from glipkit.benchmarks.flops import count_flops
from glipkit.benchmarks.workload import DTYPES, Workload
from glipkit.engine.optim import saving
from glipkit.engine.optim.compact_adamw import CompactAdamW
from glipkit.engine.optim.tensor_clip import ClippingOptimWrapper
from glipkit.errors import UserError

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

    def __init__(self, candidate: Candidate, work: Workload, step: Callable[[], Any],
                 facts: Callable[[], dict[str, Any]] = dict) -> None:
        self.candidate, self._work, self._step, self._facts = candidate, work, step, facts
        flops = {'flops': count_flops(self)} if work.count else {}
        if work.compile:
            for module in candidate.compilable:
                module.compile()
        parameters = sum(p.numel() for p in candidate.model.parameters())
        self._details = {**flops, 'parameters': parameters, **candidate.details}

    @property
    def details(self) -> dict[str, Any]:
        """Information for readers of the results; some of it is known after the first call."""
        return {**self._details, **self._facts()}

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


def train_step(peer: str, workload: dict[str, Any], save_memory: bool = False) -> Task:
    """A job: forward, backward and optimiser step. For other arguments see :func:`predict`.

    Args:
        peer: See there.
        workload: See there.
        save_memory: Whether the optimiser is the one of ``glipkit train --save-memory``.
    """
    work, candidate = _build(peer, workload)
    candidate.model.train()
    parameters = [p for p in candidate.model.parameters() if p.requires_grad]
    if save_memory:
        wrapper, saved = _saving_wrapper(work.config, parameters)
    else:
        adam = torch.optim.AdamW(parameters, lr=LEARNING_RATE, fused=True)
        wrapper, saved = ClippingOptimWrapper(adam), ''

    def step() -> None:
        with _precision(work):
            loss = candidate.loss()
        wrapper.update_params(loss)

    def facts() -> dict[str, Any]:
        moments = [value.nbytes for state in wrapper.optimizer.state.values()
                   for key, value in state.items() if key != 'step']
        copies = 1 if wrapper.releases_gradients else 2  # a weight and its gradient
        fixed = copies * sum(p.nbytes for p in parameters) + sum(moments)
        return {'fixed_bytes': fixed, 'saved': saved}

    return Task(candidate, work, step, facts)


def _saving_wrapper(config: str, parameters: list[nn.Parameter]) -> \
        tuple[ClippingOptimWrapper, str]:
    """What ``glipkit train --save-memory`` makes of a config, and its remark; nothing is clipped,
    as for the other candidates."""
    trained = read_config(find_config(config)).get('optim_wrapper')
    if trained is None:
        raise UserError('for --save-memory a config with training settings', f'{config} without '
                        'optim_wrapper', 'pass another --config')
    settings, saved = saving.save_memory(trained)
    return ClippingOptimWrapper(
        CompactAdamW(parameters, lr=LEARNING_RATE),
        release_gradients=settings.get('release_gradients', False)), saved


def _build(peer: str, workload: dict[str, Any]) -> tuple[Workload, Candidate]:
    work = Workload.from_dict(workload)
    torch.set_num_threads(work.threads)
    torch.manual_seed(work.seed)
    return work, importlib.import_module(f'glipkit.benchmarks.peers.{peer}').Model(work)


def _precision(work: Workload) -> torch.autocast:
    device = torch.device(work.device).type
    return torch.autocast(device, DTYPES['bf16'], enabled=work.dtype == 'bf16')
