"""What the units of the RegionCLIP benchmark say: accuracies, gains, and the bars they are held
against."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from glipkit.benchmarks.results import spread
from glipkit.claims.unit_results import over_seeds

#: The student of a new attention pooling has to reach this part of its teacher's accuracy.
LEAST_RECOVERED = .9
#: Top-1 that a stronger teacher has to bring, in points.
LEAST_GAIN = 30.

Results = Mapping[str, Mapping[str, Any]]
Row = dict[str, Any]


class Scores:
    """Numbers of all seeds, in points of 100.

    Args:
        results: Results of all units, by 'unit-seed'.
        seeds: Seeds.
    """

    def __init__(self, results: Results, seeds: Sequence[int]) -> None:
        self.results, self.seeds = results, tuple(seeds)

    def of(self, unit: str, *keys: str) -> np.ndarray:
        """(seeds, ) a number of a unit; -1, which stands for nothing to score, becomes NaN."""
        values = 100 * over_seeds(self.results, self.seeds, unit, keys)
        return np.where(values < 0, np.nan, values)


def judge(results: Results, seeds: Sequence[int]) -> list[Row]:
    """The rows of the table, each with its bar and whether it is met.

    Args:
        results: Results of all units.
        seeds: Seeds of the units.
    """
    scores = Scores(results, seeds)
    rows = [*_gap(scores), *_recovery(scores), *_stronger(scores), *_ablation(scores),
            *_transfer(scores), *_fusion(scores)]
    if f'photographs-{seeds[0]}' in results:
        rows += _photographs(scores)
    return rows


def row(what: str, measured: str, bar: str = '', met: bool | None = None) -> Row:
    """A row of a table of comparisons; without ``met`` it is reported alone."""
    verdict = 'reported' if met is None else 'met' if met else 'missed'
    return {'comparison': what, 'measured': measured, 'bar': bar, 'verdict': verdict}


def _gap(scores: Scores) -> list[Row]:
    large, small = (scores.of('clip', 'regions', size) for size in ('large', 'small'))
    twice = scores.of('clip', 'twice as large', 'small')
    return [row('CLIP: top-1 of pictures of one thing', spread(scores.of('clip', 'pictures'))),
            row('CLIP: top-1 of regions, large things and small ones',
                f'{spread(large)} and {spread(small)}'),
            row('the same small things, pictures twice as large', spread(twice))]


def _recovery(scores: Scores) -> list[Row]:
    teacher = scores.of('clip', 'regions', 'large')
    before, after = (scores.of('recovery', *keys, 'large') for keys in (['before'], ['regions']))
    enough = after >= LEAST_RECOVERED * teacher
    return [row('recovery: top-1 of large things, attention pooling begun anew',
                f'{spread(before)} before, {spread(after)} after; teacher {spread(teacher)}',
                f'every seed >= {LEAST_RECOVERED:g} of the teacher',
                bool(enough.all()))]


def _stronger(scores: Scores) -> list[Row]:
    before, after = (scores.of(unit, 'regions', 'small') for unit in ('clip', 'stronger'))
    gain = after - before
    return [
        row('stronger teacher: top-1 of small things',
            f'{spread(before)} before, {spread(after)} after; gain {spread(gain)}',
            f'every seed gains >= {LEAST_GAIN:g}', bool((gain >= LEAST_GAIN).all())),
        row('the same student: large things, pictures of one thing',
            f"{spread(scores.of('stronger', 'regions', 'large'))}, "
            f"{spread(scores.of('stronger', 'pictures'))}")]


def _ablation(scores: Scores) -> list[Row]:
    start, all_three, alone = (scores.of(unit, 'regions', 'all')
                               for unit in ('clip', 'all-losses', 'captions-alone'))
    apart = float(all_three.mean() - alone.mean())
    return [
        row('losses, a teacher that is the start: top-1 of all things',
            f'start {spread(start)}, all losses {spread(all_three)}, captions alone '
            f'{spread(alone)}', 'captions alone below all losses by more than a deviation',
            apart > max(all_three.std(), alone.std())),
        row('pictures of one thing, after all losses and after captions alone',
            f"{spread(scores.of('all-losses', 'pictures'))}, "
            f"{spread(scores.of('captions-alone', 'pictures'))}")]


def _transfer(scores: Scores) -> list[Row]:
    rows = []
    for group, name in (('novel', 'coco/novel_AP50'), ('base', 'coco/base_AP50'),
                        ('all', 'coco/AP50')):
        scaled, plain = (scores.of(f'transfer-{v}', 'rankings', 'p', name)
                         for v in ('scaled', 'plain'))
        rows.append(row(f'transfer: AP50 of {group} names; focal scaling 0.5, background weight '
                        '0.2 beside neither',
                        f'{spread(scaled)} and {spread(plain)}'))
    return rows


def _fusion(scores: Scores) -> list[Row]:
    rows, plain = [], scores.of('transfer-scaled', 'rankings', 'p', 'coco/AP')
    for ranking in ('sqrt(p * sigmoid)', 'sqrt(p * logit)'):
        fused = scores.of('transfer-scaled', 'rankings', ranking, 'coco/AP')
        rows.append(row(f'AP of boxes ranked by {ranking} and by p',
                        f'{spread(fused)} and {spread(plain)}', 'every seed above p',
                        bool((fused > plain).all())))
    return rows


def _photographs(scores: Scores) -> list[Row]:
    one = scores.results[f'photographs-{scores.seeds[0]}']
    groups: Sequence[tuple[str, Callable[[str], np.ndarray]]] = [
        ('all', lambda key: scores.of('photographs', 'overall', key)),
        *((group, lambda key, group=group: scores.of('photographs', 'groups', group, key))
          for group in ('seen', 'caption_only', 'unseen'))]
    return [row(f'photographs, {title.replace("_", " ")} things: top-1 and top-5 of given boxes '
                f'over {one["names"]} names',
                f'{spread(of("top1"))}, {spread(of("top5"))}; chance '
                f'{100 / one["names"]:.1f}, {500 / one["names"]:.1f}')
            for title, of in groups]


def score_rows(results: Results) -> list[Row]:
    """A row per unit that names regions: its top-1 in points."""
    return [{'unit': name, **{size: round(100 * unit['regions'][size], 1)
                              for size in ('large', 'small', 'all')},
             'pictures': round(100 * unit['pictures'], 1)}
            for name, unit in results.items() if 'regions' in unit]
