"""What the units of the self-training benchmark say: scores, precision, gains and their bars."""
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glipkit.benchmarks.results import spread

#: Group of categories -> its column.
GROUPS = {'caption_only': 'held-out words', 'seen': 'base words, seen',
          'unseen': 'base words, unseen'}
ORDER = ('teacher', 'gold-only', 'student')

Results = Mapping[str, Mapping[str, Any]]
Row = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """What a model has to gain over its teacher.

    Args:
        model: 'student' or 'gold-only'.
        group: A key of `GROUPS`.
        bar: Points of AP50 to gain.
        above: Whether the mean gain must reach the bar, or stay below it.
    """
    model: str
    group: str
    bar: float
    above: bool = True

    def met_by(self, gains: np.ndarray) -> bool:
        """Whether the mean of gains (seeds, ) is on the right side of the bar."""
        mean = float(gains.mean())
        return mean >= self.bar if self.above else mean < self.bar


COMPARISONS = (
    Comparison('student', 'caption_only', 5.), Comparison('student', 'seen', -1.),
    Comparison('student', 'unseen', -1.), Comparison('gold-only', 'caption_only', 5., above=False))


def points(results: Results, model: str, group: str, seeds: Sequence[int]) -> np.ndarray:
    """(seeds, ) points of AP50; not a number where a group has nothing to find."""
    found = np.array([results[f'{model}-{seed}']['metrics'][f'coco/{group}_AP50']
                      for seed in seeds])
    return np.where(found < 0, np.nan, 100 * found)


def judge(results: Results, seeds: Sequence[int],
          judged: Collection[str] = tuple(GROUPS)) -> list[Row]:
    """The rows of the table: models, pseudo-labels, gains.

    Args:
        results: Results of all units, by 'unit-seed'.
        seeds: Seeds of the units.
        judged: Groups whose gains are held against their bars; others are reported only.
    """
    models = [{'line': f'{model}, AP50',
               **{column: spread(points(results, model, group, seeds))
                  for group, column in GROUPS.items()}} for model in ORDER]
    return [*models, _labels(results, seeds, 'all', 'all phrases'),
            _labels(results, seeds, 'held_out', 'phrases with a held-out word'),
            *(_gain(results, seeds, comparison, comparison.group in judged)
              for comparison in COMPARISONS)]


def _labels(results: Results, seeds: Sequence[int], group: str, phrases: str) -> Row:
    """Precision of the pseudo-labels, and how many there are of a seed on average."""
    counts = [results[f'pseudo-{seed}'][group] for seed in seeds]
    shares = [100 * count['right'] / count['boxes'] if count['boxes'] else np.nan
              for count in counts]
    boxes = np.mean([count['boxes'] for count in counts])
    return {'line': f'pseudo-labels that are right, {phrases}',
            'measured': f'{spread(shares)} % of {boxes:,.0f} boxes'}


def _gain(results: Results, seeds: Sequence[int], comparison: Comparison, judged: bool) -> Row:
    gains = (points(results, comparison.model, comparison.group, seeds)
             - points(results, 'teacher', comparison.group, seeds))
    row = {'line': f'{comparison.model} − teacher, {GROUPS[comparison.group]}',
           'measured': f'{spread(gains)} ({", ".join(f"{gain:+.1f}" for gain in gains)})'}
    if not judged:
        return row | {'bar': '', 'verdict': 'reported'}
    return row | {'bar': f'{">=" if comparison.above else "<"} {comparison.bar:g}',
                  'verdict': 'met' if comparison.met_by(gains) else 'missed'}


def score_rows(results: Results, seeds: Sequence[int]) -> list[Row]:
    """A row per seed and model: points of AP50 by group; None where there is nothing to find."""
    return [{'seed': seed, 'model': model,
             **{column: None if np.isnan(score) else round(float(score), 2)
                for group, column in GROUPS.items()
                for score in points(results, model, group, [seed])}}
            for seed in seeds for model in ORDER]
