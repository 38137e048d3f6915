"""The result of a tuning run."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.tuning.data import TuneData
from glipkit.tuning.prompts import Scored
from glipkit.tuning.settings import TuneSettings


@dataclass(frozen=True)
class TuneResult:
    """Scores before and after, and the task file.

    Args:
        settings: Settings of the run.
        data: Images of the run.
        zero_shot: ``val``, ``test`` and ``held_out`` -> scores of the base model.
        seeds: Scores of each seed on the same sets, its history, shots and minutes.
        task: Task file of the seed that was best on ``val``.
        tried: Hand-written prompts and their scores.
    """
    settings: TuneSettings
    data: TuneData
    zero_shot: dict[str, dict[str, float]]
    seeds: list[dict[str, Any]]
    task: Path
    tried: tuple[Scored, ...] = ()

    @property
    def best(self) -> dict[str, Any]:
        """The seed that was best on ``val``; of equals the first."""
        return max(self.seeds, key=lambda one: one['scores']['val']['AP'])

    @property
    def scored_on(self) -> str:
        """``test``, or ``val`` where there is no test set."""
        return 'test' if self.data.test else 'val'

    def mean(self, name: str, metric: str = 'AP') -> tuple[float, float]:
        """Mean and standard deviation (of the population) over seeds.

        Args:
            name: ``val``, ``test`` or ``held_out``.
            metric: Name of the metric.
        """
        values = [seed['scores'][name][metric] for seed in self.seeds]
        return float(np.mean(values)), float(np.std(values))
