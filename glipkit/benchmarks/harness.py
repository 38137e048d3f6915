"""Fair timings: candidates take turns, so that what else the machine does meets all of them.

A single timing on a shared machine says little. Here every round times each candidate once, every
second round in reverse order (a slow drift then cancels), and results are medians with their
spread. Candidates are functions of this process, or, where memory counts, processes of their own.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from glipkit.benchmarks.worker import Worker, WorkerCall
from glipkit.common.reporter import bar
from glipkit.errors import UserError

GIB = 2**30
Name = TypeVar('Name')


@dataclass(frozen=True)
class Timing:
    """Seconds of one candidate, round by round."""
    seconds: list[float]

    @property
    def median(self) -> float:
        """Middle value, in seconds."""
        return float(np.median(self.seconds))

    @property
    def iqr(self) -> float:
        """Interquartile range, in seconds: between the first and the third quarter."""
        low, high = np.percentile(self.seconds, [25, 75])
        return float(high - low)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {'median': self.median, 'iqr': self.iqr, 'seconds': list(self.seconds)}


@dataclass(frozen=True)
class Measured:
    """What one candidate's process took.

    Attributes:
        timing: Seconds of each round.
        peak_bytes: Most memory that the process held during warm-up and rounds (resident; on a
            GPU, the most that torch had allocated there).
        idle_bytes: Memory before its first call: libraries, weights and inputs.
        details: Attribute ``details`` of the job, e.g. its operations.
    """
    timing: Timing
    peak_bytes: int
    idle_bytes: int
    details: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**self.timing.as_dict(), 'peak_bytes': self.peak_bytes,
                'idle_bytes': self.idle_bytes, 'facts': self.details}


def turns(names: Sequence[Name], rounds: int) -> Iterator[Name]:
    """Whose turn it is: forward in the first round, backward in the second, and so on."""
    for number in range(rounds):
        yield from names if number % 2 == 0 else reversed(names)


def alternate(candidates: Mapping[str, Callable[[], Any]], rounds: int, warmup: int = 1,
              clock: Callable[[], float] = time.perf_counter) -> dict[str, Timing]:
    """Times functions in turns.

    Args:
        candidates: Name to function. What a function returns is dropped before the next one runs.
        rounds: Timed calls of each.
        warmup: Calls of each before the first round that are not timed.
        clock: Seconds from any start.

    Returns:
        Per candidate, in the given order, the seconds of each round.

    Raises:
        UserError: For no candidates, or numbers outside their range.
    """
    check(candidates, rounds, warmup)
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    with bar('timing', len(candidates) * (warmup + rounds), 'call') as shown:
        for name in turns(list(candidates), warmup):
            candidates[name]()
            shown.update()
        for name in turns(list(candidates), rounds):
            begin = clock()
            candidates[name]()
            seconds[name].append(clock() - begin)
            shown.update()
    return {name: Timing(values) for name, values in seconds.items()}


def load_workers(calls: Mapping[str, WorkerCall], warmup: int, stack: ExitStack,
                 shown: Any) -> dict[str, Worker]:
    """Processes of jobs, which end with ``stack``, after ``warmup`` calls of each.

    ``shown`` is the bar of :mod:`glipkit.common.reporter` that counts them.
    """
    workers: dict[str, Worker] = {}
    for name, call in calls.items():
        # One after the other: two that load at once would need both their peaks of memory.
        shown.show(candidate=name, now='loading')
        workers[name] = stack.enter_context(Worker(name, call))
        shown.update()
    for name in turns(list(calls), warmup):
        shown.show(candidate=name, now='warming up')
        workers[name].call()
        shown.update()
    return workers


def alternate_processes(calls: Mapping[str, WorkerCall], rounds: int, warmup: int = 1) -> \
        dict[str, Measured]:
    """Times jobs in turns, each in a separate process that sleeps while another one runs.

    Args:
        calls: Name -> call for its process; see :class:`glipkit.benchmarks.worker.WorkerCall`.
        rounds: Timed calls of each. A process times itself: waking it costs nothing.
        warmup: Calls of each before the first round that are not timed.

    Returns:
        Per job, in the given order, its timing and memory.

    Raises:
        UserError: For no jobs, numbers outside their range, or an error of a job.
        RuntimeError: When a job fails otherwise; its own traceback is part of the message.
    """
    check(calls, rounds, warmup)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    with ExitStack() as stack, \
            bar('timing', len(calls) * (1 + warmup + rounds), 'call') as shown:
        workers = load_workers(calls, warmup, stack, shown)
        for name in turns(list(calls), rounds):
            shown.show(candidate=name, now='timing')
            seconds[name].append(workers[name].call())
            shown.update()
        return {
            name: Measured(Timing(seconds[name]), worker.peak_bytes, worker.idle_bytes,
                           worker.details)
            for name, worker in workers.items()
        }


def ratio(slow: Timing, fast: Timing) -> float:
    """How many times as long ``slow`` takes: the ratio of the medians."""
    return slow.median / fast.median


def ratio_range(slow: Timing, fast: Timing) -> tuple[float, float]:
    """Least and greatest ratio within one round, where both met the same machine."""
    pairs = [s / f for s, f in zip(slow.seconds, fast.seconds, strict=True)]
    return min(pairs), max(pairs)


def rows_beside(reference: str, measured: Mapping[str, Measured], rounds: int) -> list[dict]:
    """A row per candidate: its time beside that of a reference, and its memory.

    Args:
        reference: Name of the candidate that the others are compared with.
        measured: From `alternate_processes`; the details of each have ``cpu_seconds``.
        rounds: Number of timed rounds.
    """
    rows = []
    for name, one in measured.items():
        low, high = ratio_range(one.timing, measured[reference].timing)
        rows.append({
            'candidate': name, 'median s': round(one.timing.median, 3),
            'CPU s': round(float(np.median(one.details['cpu_seconds'][-rounds:])), 3),
            'IQR s': round(one.timing.iqr, 3),
            f'time / {reference}': round(ratio(one.timing, measured[reference].timing), 2),
            'range over rounds': f'{low:.2f}-{high:.2f}',
            'peak GiB': round(one.peak_bytes / GIB, 2),
            'before GiB': round(one.idle_bytes / GIB, 2)})
    return rows


def check(candidates: Mapping[str, Any], rounds: int, warmup: int) -> None:
    """Refuses what cannot be measured.

    Raises:
        UserError: For no candidates, less than one round, or less than no warm-up.
    """
    if not candidates:
        raise UserError('at least one candidate', 'none', 'name what to time')
    if rounds < 1 or warmup < 0:
        raise UserError('at least 1 round and 0 warm-ups', f'{rounds} and {warmup}',
                        'pass larger numbers')
