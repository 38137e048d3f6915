"""How the threads of a process wait for each other: awake on a quiet machine, asleep on a busy one.

PyTorch's threads meet after every operator. One that waits stays awake for some milliseconds, which
is the fastest way as long as every thread has a processor. Where another process has one of the
processors, those milliseconds are taken from the thread that is waited for.

GNU's OpenMP, which the wheels of Linux have, shortens the waits by itself where it knows of more
threads than processors (its documentation, `GOMP_SPINCOUNT`). So a thread of ours looks every tenth
of a second how long the process had to wait for a processor, and while that is much, it keeps idle
threads that OpenMP counts. This works in any program, also where PyTorch was imported first. A
command sets the variable too, before it imports PyTorch: to waits that are long enough for a quiet
machine and a fifteenth of PyTorch's own.
"""
from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Protocol

SPINS, FEW_SPINS = 20000, 1000
"""Rounds that a thread of GNU's OpenMP waits awake in commands, some 400 to 1000 microseconds; and
where nobody sees to it that waits are short in a crowd, some 20 to 50."""
CHOICES = ('GOMP_SPINCOUNT', 'OMP_WAIT_POLICY')
"""Variables by which users choose; nobody's choice is overruled."""
LOOK = .1
"""Seconds from one look to the next."""
CROWDED, QUIET = .3, .1
"""Shares of the time that threads of this process, taken together, wait for a processor. Beside one
busy process, on two processors, it is between .4 and .7, and nearly always below .1 alone."""
FULL, CALM = 2, 5
"""Looks in a row above the first one until waits are short, and below the second one until they are
long again."""
MOST = 16
"""Processors up to which idle threads are kept, one more than there are processors: a container may
allow few more."""

_TASKS = Path('/proc/self/task')
_starting = threading.Lock()
_watching = False


def wait_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Lets idle threads of PyTorch sleep sooner than by themselves, at all times: what commands do.

    It works before PyTorch is imported, on x86-64 with GNU's OpenMP; elsewhere, and where the user
    has chosen, nothing changes. A quiet machine gains by it: threads of one operator meet soon, and
    work in pieces (`glipkit.common.cores`) needs the processors that others would hold. Beside
    other work :func:`wait_briefly_in_a_crowd` makes waits shorter still.

    Args:
        environment: Changed in place.
    """
    if 'torch' not in sys.modules:
        environment.update(short_waits(environment))


def short_waits(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables that make waits short in a process that begins with them; none where
    :func:`wait_briefly` changes nothing."""
    if _chosen(environment) or platform.machine().lower() not in ('x86_64', 'amd64'):
        return {}
    watched = _can_look() and 2 <= (os.cpu_count() or 1) <= MOST
    return {'GOMP_SPINCOUNT': str(SPINS if watched else FEW_SPINS)}


def _chosen(environment: Mapping[str, str]) -> bool:
    """Whether the user has chosen; a process that a command begins has the command's variable."""
    return any(name in environment and (name, environment[name]) != (CHOICES[0], str(SPINS))
               for name in CHOICES)


def wait_briefly_in_a_crowd() -> bool:
    """Lets idle threads of PyTorch sleep soon while other processes want the processors.

    One thread of this process sees to it until the end; calls after the first change nothing.

    Returns:
        Whether it does: not where the user has chosen, without GNU's OpenMP or Linux's account of
        waits, with a single thread, or with more processors than `MOST`.
    """
    global _watching
    with _starting:
        if _watching or _chosen(os.environ) or not _can_look():
            return _watching
        openmp = _openmp()
        if openmp is None or openmp.omp_get_max_threads() < 2 \
                or openmp.omp_get_num_procs() > MOST:
            return False
        watch = Watch(Crowd(openmp), waited_seconds)
        threading.Thread(target=_watch, args=(watch, ), name='glipkit waits', daemon=True).start()
        _watching = True
        return True


def _forget() -> None:
    """A forked process has none of the threads of its parent."""
    global _starting, _watching
    _starting, _watching = threading.Lock(), False


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_forget)


class Switch(Protocol):
    """Something that is on or off."""

    def on(self) -> None:
        """Switches it on."""

    def off(self) -> None:
        """Switches it off."""


class Watch:
    """Switches short waits on and off.

    Args:
        short_waits: What is switched.
        waited: Seconds that threads of this process have waited for a processor so far.
    """

    def __init__(self, short_waits: Switch, waited: Callable[[], float]) -> None:
        self._switch, self._waited = short_waits, waited
        self._before, self._full, self._calm = waited(), 0, 0
        self.crowded = False

    def look(self, seconds: float) -> None:
        """Switches if it is time to, ``seconds`` after the look before."""
        now = self._waited()
        share, self._before = (now - self._before) / seconds, now
        self._full = self._full + 1 if share > CROWDED else 0
        self._calm = self._calm + 1 if share < QUIET else 0
        if not self.crowded and self._full >= FULL:
            self.crowded = True
            self._switch.on()
        elif self.crowded and self._calm >= CALM:
            self.crowded = False
            self._switch.off()


class Crowd:
    """Idle threads that OpenMP counts, more than there are processors; they belong to one thread.

    Args:
        openmp: GNU's OpenMP, as PyTorch has loaded it.
    """

    def __init__(self, openmp: ctypes.CDLL) -> None:
        self._openmp, self._leave = openmp, threading.Event()

    def on(self) -> None:
        """Makes them."""
        self._leave = threading.Event()
        threading.Thread(target=self._keep, args=(self._leave, ), name='glipkit short waits',
                         daemon=True).start()

    def off(self) -> None:
        """Lets them go."""
        self._leave.set()

    def _keep(self, leave: threading.Event) -> None:
        # Threads of OpenMP stay with the thread that asked for them, and end with it. All that
        # each has to do is to free nothing.
        self._openmp.GOMP_parallel(ctypes.CDLL(None).free, None,
                                   self._openmp.omp_get_num_procs() + 1, 0)
        leave.wait()


def waited_seconds() -> float:
    """Seconds that threads of this process have waited for a processor, without those that ended.

    Raises:
        OSError: Linux keeps no account of it, or this is no Linux.
    """
    return sum(_waits()) * 1e-9


def _waits() -> Iterator[int]:
    # On a processor, waiting for one (nanoseconds), how often: Documentation/scheduler/sched-stats.
    for task in os.listdir(_TASKS):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            yield int((_TASKS / task / 'schedstat').read_text().split()[1])


def _can_look() -> bool:
    return (_TASKS.parent / 'schedstat').exists()


def _openmp() -> ctypes.CDLL | None:
    """GNU's OpenMP that PyTorch computes with; None without one, or before PyTorch is imported."""
    torch = sys.modules.get('torch')
    if torch is None:
        return None
    with suppress(OSError):
        places = {line.split()[-1] for line in Path('/proc/self/maps').read_text().splitlines()
                  if 'libgomp' in line}
        own = [place for place in places if f'{os.sep}torch{os.sep}' in place]
        return ctypes.CDLL((own or [*places])[0]) if places else None
    return None


def _watch(watch: Watch) -> None:
    pause, last = threading.Event(), monotonic()
    # No account of waits any more, or no more threads, as at the end: waits stay as they are.
    with suppress(OSError, RuntimeError):
        while True:
            pause.wait(LOOK)
            now = monotonic()
            watch.look(now - last)
            last = now
