"""Learns what visitors show by boxes, beside the predictions and never before them."""
from __future__ import annotations

import re
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glipkit.apis.predictor import Predictor
from glipkit.apis.tasks import Task, save_task
from glipkit.common.reporter import Bar, Reporter, reporting
from glipkit.errors import UserError
from glipkit.serve.jobs import Job, JobQueue
from glipkit.serve.limits import Busy, LearningLimits, Stopped, TooLarge
from glipkit.serve.references import Reference

#: Seconds that a step of learning waits at most for predictions, so that it ends under load, too.
PATIENCE = 2.
#: Letters of a thing's name that a task's name begins with.
_STEM = 24


@dataclass(frozen=True, eq=False)
class Learned:
    """What a lesson gives.

    Args:
        task: Its name in predictions, which cannot be guessed.
        names: The things that it knows.
        content: Its task file.
        seconds: How long the lesson took.
    """

    task: str
    names: tuple[str, ...]
    content: bytes
    seconds: float

    @property
    def file_name(self) -> str:
        """Name for the file where it is stored."""
        return f'{_stem(self.names)}.safetensors'


#: A predictor, what is shown, a budget of seconds -> a task. It tells how far it is to the current
#: reporter, through which it is also stopped: that raises `Stopped`, which it lets pass.
Learner = Callable[[Predictor, Sequence[Reference], float], Task]


class Lesson:
    """What is being learned for somebody, from `Learning.begin`."""

    def __init__(self, references: Sequence[Reference], seconds: float) -> None:
        self.references, self.seconds = tuple(references), seconds
        self.job, self._begun = Job(id(self), self), time.monotonic()
        self._said, self._stopping = 'waiting for its turn', threading.Event()

    @property
    def said(self) -> str:
        """How far it is."""
        return self._said

    def start(self) -> None:
        """Its budget begins."""
        self._begun = time.monotonic()

    def tell(self, what: str) -> None:
        """Says what is being done, and how much of the budget is used.

        Raises:
            Stopped: Nobody waits for it any more.
        """
        share = min(1., (time.monotonic() - self._begun) / self.seconds)
        self._said = f'{what}, {share:.0%} of {self.seconds:g} s'
        if self._stopping.is_set():
            raise Stopped('the lesson was stopped')

    def stop(self) -> None:
        """Ends it: at once where it waits, with its next step where it runs."""
        self._stopping.set()
        self.job.answer.cancel()

    def wait(self, seconds: float) -> Learned | None:
        """The result, or None where it is not there within some seconds.

        Raises:
            Stopped: `stop` was called.
            Busy: The server is being stopped.
            UserError: What was shown cannot be learned.
        """
        try:
            return self.job.answer.result(seconds)
        except NotYet:
            return self.job.answer.result() if self.job.answer.done() else None
        except CancelledError:
            if self._stopping.is_set():
                raise Stopped('the lesson was stopped') from None
            raise Busy('the server is being stopped; try again soon', 5) from None


class Learning:
    """Lessons, one at a time in a thread of its own, and the tasks that came out of them.

    Args:
        predictor: Whose model learns; its weights stay as they are.
        limits: The most that it takes.
        learner: What learns.
        let_others_go: Waits some seconds at most until no prediction waits or runs. A step of a
            lesson begins after it, so that a prediction waits for one step at most.
    """

    def __init__(self, predictor: Predictor, limits: LearningLimits, learner: Learner,
                 let_others_go: Callable[[float], Any]) -> None:
        self.predictor, self.limits = predictor, limits
        self._learner, self._let_others_go = learner, let_others_go
        self._places = threading.BoundedSemaphore(limits.places)
        self._queue = JobQueue(self._run)
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[Learned, float]] = {}

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place inside the block, from before the pictures are read until the task is there.

        Raises:
            Busy: There is none.
        """
        if not self._places.acquire(blocking=False):
            raise Busy(f'{self.limits.places} others are showing something, and no more at once; '
                       'try again soon', max(1, round(self.limits.seconds)))
        try:
            yield
        finally:
            self._places.release()

    def begin(self, references: Sequence[Reference], seconds: float | None = None) -> Lesson:
        """Puts a lesson into the queue; for callers that have a place.

        Args:
            references: The things, which are learned together.
            seconds: Budget; None, and what is above it, takes the server's.

        Raises:
            UserError: Nothing is shown; `TooLarge` where it is too much.
        """
        boxes = [box for one in references for listed in one.boxes for box in listed]
        others = [box for one in references for listed in one.negatives for box in listed]
        if not boxes:
            raise UserError('a box around the thing', 'none', 'draw one')
        if len(boxes) + len(others) > self.limits.boxes:
            raise TooLarge(f'at most {self.limits.boxes} boxes', str(len(boxes) + len(others)),
                           'leave some out')
        if seconds is not None and not seconds > 0:
            raise UserError('a budget of seconds above 0', repr(seconds), 'leave it out')
        lesson = Lesson(references, min(self.limits.seconds, seconds or self.limits.seconds))
        self._queue.put(lesson.job)
        return lesson

    # -- what was learned -------------------------------------------------------------------------

    def find(self, task: str) -> Learned | None:
        """What was learned under a task's name, which stays for longer then; None if it is gone."""
        self._sweep()
        with self._lock:
            if task not in self._kept:
                return None
            learned, _ = self._kept.pop(task)
            self._kept[task] = learned, time.monotonic()  # the last one in use
            return learned

    def forget(self, task: str) -> bool:
        """Removes what was learned; returns whether there was any."""
        with self._lock:
            known = self._kept.pop(task, None) is not None
        if known:
            self.predictor.forget_task(task)
        return known

    def stop_all(self) -> None:
        """Ends all lessons with their next step, and waits for none."""
        for lesson in self._queue.all():
            lesson.stop()

    def close(self, timeout: float | None = None) -> None:
        """Ends all lessons, and waits for the last step.

        Args:
            timeout: Seconds to wait; None waits as long as it takes.
        """
        self.stop_all()
        self._queue.close(timeout)

    def _sweep(self, room: int = 0) -> None:
        """Removes what is too old, and what was not used for longest where it is too much."""
        with self._lock:
            oldest = time.monotonic() - self.limits.age
            old = [task for task, (_, used) in self._kept.items() if used < oldest]
            left = [task for task in self._kept if task not in old]
            old += left[:max(0, len(left) + room - self.limits.kept)]
        for task in old:
            self.forget(task)

    # -- in the thread of the lessons -------------------------------------------------------------

    def _run(self, lessons: Sequence[Lesson]) -> list[Learned]:
        lesson, = lessons  # all keys differ
        begin = time.monotonic()
        with reporting(_Watch(lesson, self._let_others_go)):
            lesson.start()
            lesson.tell('reading the pictures')
            task = self._learner(self.predictor, lesson.references, lesson.seconds)
            lesson.tell('writing')
        name = f'{_stem(task.classes)}-{secrets.token_hex(16)}'
        self._sweep(1)
        self.predictor.load_task(task, name)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / 'task.safetensors'
            save_task(task, file)
            learned = Learned(name, tuple(task.classes), file.read_bytes(),
                              time.monotonic() - begin)
        with self._lock:
            self._kept[name] = learned, time.monotonic()
        return [learned]


class _Watch(Reporter):
    """Tells a lesson how far it is, lets predictions go first, and stops it."""

    def __init__(self, lesson: Lesson, let_others_go: Callable[[float], Any]) -> None:
        self._lesson, self._let_others_go = lesson, let_others_go

    def bar(self, title: str, total: int | None = None, unit: str = 'item', done: int = 0,
            scale: bool = False) -> Bar:
        self._lesson.tell(title)
        return _WatchedBar(self._lesson, self._let_others_go, title, done)


class _WatchedBar(Bar):

    def __init__(self, lesson: Lesson, let_others_go: Callable[[float], Any], title: str,
                 done: int) -> None:
        super().__init__(done)
        self._lesson, self._let_others_go, self._title = lesson, let_others_go, title

    def update(self, units: int = 1) -> None:
        super().update(units)
        self._lesson.tell(self._title)
        self._let_others_go(PATIENCE)


def _stem(names: Sequence[str]) -> str:
    """Small letters and digits of the first name: the beginning of a file's and a task's name."""
    words = re.sub(r'[^a-z0-9]+', '-', names[0].lower())[:_STEM].strip('-') if names else ''
    return words or 'shown'
