"""Benchmarks of hours in units that are kept: one folder, files that say what is done, an estimate.

A unit is done when its result is there. The same command goes on where an earlier one was stopped,
and refuses a folder that was begun with other settings.
"""
from __future__ import annotations

import fcntl
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glipkit.errors import UserError
from glipkit.files import make_folder, write_text

SETTINGS = 'settings.json'


@dataclass(frozen=True)
class Job:
    """A unit of work.

    Args:
        name: What is told of it.
        result: The file that is there when it is done.
        seconds: A guess of what it takes.
        work: Does it.
    """
    name: str
    result: Path
    seconds: float
    work: Callable[[], None]

    @property
    def done(self) -> bool:
        """Whether its result is there."""
        return self.result.is_file()


def run_jobs(jobs: Sequence[Job]) -> None:
    """Does what is not done, in order, telling how far it is and how long it may still take."""
    expected = spent = 0.
    for number, job in enumerate(jobs, start=1):
        if job.done:
            continue
        start = time.monotonic()
        job.work()
        took = time.monotonic() - start
        spent, expected = spent + took, expected + job.seconds
        left = sum(other.seconds for other in jobs[number:] if not other.done)
        print(f'[{number}/{len(jobs)}] {job.name}: {took / 60:.1f} min; about '
              f'{left * spent / expected / 3600:.1f} h left', file=sys.stderr, flush=True)


def read_results(paths: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """What units wrote, by their names."""
    return {name: json.loads(path.read_text(encoding='utf-8')) for name, path in paths.items()}


def check_settings(out: Path | None, numbers: Iterable[int | None], seeds: Sequence[int]) -> None:
    """Refuses what no run can be made with, before anything is written.

    Args:
        out: The folder that was asked for.
        numbers: What has to be positive; None is a default.
        seeds: Of the run.

    Raises:
        UserError: No folder, a number that is not positive, a seed below 0 or twice.
    """
    if out is None:
        raise UserError('a folder to keep the units in', 'none', 'pass --out DIR')
    given = [number for number in numbers if number is not None]
    if given and min(given) <= 0:
        raise UserError('positive numbers', repr(min(given)), 'pass larger ones')
    if len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise UserError('different seeds of at least 0', repr(list(seeds)),
                        f'pass e.g. {" ".join(map(str, range(len(seeds))))}')


def claim(folder: Path, facts: Mapping[str, Any]) -> None:
    """Marks a folder as one run's, or finds that it is.

    Args:
        folder: Of the run.
        facts: What its results depend on (JSON-ready).

    Raises:
        UserError: It holds a run with other settings, or other files.
    """
    path, name = folder / SETTINGS, f'{folder.parent.name}/{folder.name}'
    content = json.dumps(facts, indent=1) + '\n'
    # Listed first: another process may be writing the settings just now.
    others = [item for item in (folder.iterdir() if folder.is_dir() else ())
              if not item.name.startswith(f'.{SETTINGS}.')]
    if path.is_file():
        if path.read_text(encoding='utf-8') != content:
            raise UserError('the folder of the same run, or a new one',
                            f'{name}, which holds one with other settings',
                            'pass another --out, or the settings of that run')
        return
    if others:
        raise UserError('a new or empty folder', f'{name} with other files', 'pass another --out')
    write_text(path, content)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps other processes that ask for the same file waiting; ends with the process at latest."""
    make_folder(path.parent)
    with path.open('w', encoding='utf-8') as file:
        # Not flock, whose locks are handed on to child processes and outlive a killed parent.
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield
