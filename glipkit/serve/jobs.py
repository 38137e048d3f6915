"""The queue between many requests and one model: jobs that can go together go together."""
from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Job:
    """One image that waits for the model.

    Args:
        key: Jobs of equal keys may run together.
        work: What `JobQueue`'s function takes.
        answer: Holds the result; a cancelled one is left out.
    """

    key: Hashable
    work: Any
    answer: Future = field(default_factory=Future)


class JobQueue:
    """Runs jobs in one thread of its own, first come, first served.

    One thread, so that the cores of the machine work on one batch at a time; it takes what waits
    and lets nobody wait for company.

    Args:
        run: Function of several jobs' work, all of one key, that returns as many results.
        batch_size: Largest number of jobs that run together.
    """

    def __init__(self, run: Callable[[Sequence[Any]], Sequence[Any]], batch_size: int = 1) -> None:
        self._run, self._batch_size = run, batch_size
        self._waiting: deque[Job] = deque()
        self._change = threading.Condition()
        self._running: tuple[Job, ...] = ()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name='glipkit-serve', daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Number of jobs that wait."""
        return len(self._waiting)

    def put(self, job: Job) -> None:
        """Adds a job; after `close` it is cancelled at once."""
        with self._change:
            if self._closed:
                job.answer.cancel()
                return
            self._waiting.append(job)
            self._change.notify_all()

    def all(self) -> list[Any]:
        """The work of all jobs that wait or run."""
        with self._change:
            return [job.work for job in (*self._running, *self._waiting)]

    def drop(self, job: Job) -> None:
        """Forgets a job that still waits; one that runs is finished for nobody."""
        job.answer.cancel()
        with self._change:
            if job in self._waiting:
                self._waiting.remove(job)

    def close(self, timeout: float | None = None) -> None:
        """Cancels what waits and ends the thread after what runs.

        Args:
            timeout: Seconds to wait for the thread; None waits as long as it takes.
        """
        with self._change:
            self._closed = True
            while self._waiting:
                self._waiting.popleft().answer.cancel()
            self._change.notify_all()
        self._thread.join(timeout)

    def wait_idle(self, timeout: float) -> bool:
        """Waits until nothing waits or runs; for work beside the queue that lets it go first.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether it is idle.
        """
        with self._change:
            return self._change.wait_for(lambda: not self._waiting and not self._running, timeout)

    def _serve(self) -> None:
        while jobs := self._next():
            self._answer(jobs)
            with self._change:
                self._running = ()
                self._change.notify_all()

    def _next(self) -> list[Job]:
        """The oldest job and those that can go with it; none when the queue was closed."""
        with self._change:
            while True:
                while not self._waiting and not self._closed:
                    self._change.wait()
                if self._closed:
                    return []
                first = self._waiting[0]
                jobs = [job for job in self._waiting if job.key == first.key][:self._batch_size]
                for job in jobs:
                    self._waiting.remove(job)
                # Of a cancelled job nobody waits for the result.
                jobs = [job for job in jobs if job.answer.set_running_or_notify_cancel()]
                if jobs:
                    self._running = tuple(jobs)
                    return jobs

    def _answer(self, jobs: list[Job]) -> None:
        try:
            results = self._run([job.work for job in jobs])
        except Exception as error:  # whatever it is, it belongs to the one who asked
            if len(jobs) == 1:
                jobs[0].answer.set_exception(error)
                return
            for job in jobs:  # one of them is at fault, the others shall not suffer
                self._answer([job])
            return
        for job, result in zip(jobs, results):
            job.answer.set_result(result)
