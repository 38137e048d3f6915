"""Work of hours in units that are kept: each is done once, with an estimate of the time left.

A unit is done when its result exists. The same run again resumes with the units that are left.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from glipkit.common.reporter import note
from glipkit.errors import UserError
from glipkit.files import remove_unfinished
from glipkit.runs.locks import locked


@dataclass(frozen=True)
class Unit:
    """A unit of work.

    Args:
        name: Name for the reader.
        result: File that exists when it is done.
        seconds: Estimate of its time.
        work: Function that does it.
    """
    name: str
    result: Path
    seconds: float
    work: Callable[[], None]

    @property
    def done(self) -> bool:
        """Whether its result exists."""
        return self.result.is_file()


def run_units(units: Sequence[Unit]) -> None:
    """Does the units that are not done, in order; notes progress and the estimated time left.

    Where several processes share a run, they wait for each other at a unit, and one does it.
    """
    expected = spent = 0.
    for number, unit in enumerate(units, start=1):
        if unit.done:
            continue
        with locked(unit.result.with_name(f'.{unit.result.name}.lock')) as alone:
            if unit.done:  # by another process, meanwhile
                continue
            if alone:
                remove_unfinished(unit.result.parent, unit.result.name)
            start = time.monotonic()
            unit.work()
            took = time.monotonic() - start
        spent, expected = spent + took, expected + unit.seconds
        left = sum(other.seconds for other in units[number:] if not other.done)
        note(f'[{number}/{len(units)}] {unit.name}: {took / 60:.1f} min; about '
             f'{left * spent / expected / 3600:.1f} h left')


def check_settings(out: Path | None, numbers: Iterable[int | None], seeds: Sequence[int]) -> None:
    """Refuses settings that no run can have, before anything is written.

    Args:
        out: Folder of the run.
        numbers: Numbers that must be positive; None stands for a default.
        seeds: Seeds of the run.

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
