"""What the units of the exemplar benchmark say: measurements against their bars, and scores."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from glipkit.benchmarks.results import spread
from glipkit.claims.exemplar_scores import RECALL
from glipkit.claims.exemplar_units import SHOTS
from glipkit.claims.unit_results import over_seeds

#: Bars: shares, and points of AP.
LEAST_SHARE, MOST_WORDS_LOST, MOST_FOOLED, MOST_ERROR, LEAST_ONE_LABEL = .95, .5, .5, .5, .95

Results = Mapping[str, Mapping[str, Any]]
Row = dict[str, Any]


class Seeds:
    """Numbers of a world's units, over its seeds.

    Args:
        results: Name of a unit -> what it wrote.
        seeds: Seeds.
    """

    def __init__(self, results: Results, seeds: Sequence[int]) -> None:
        self.results, self.seeds = results, seeds

    def values(self, unit: str, *keys: str) -> np.ndarray:
        """(seeds, ) values at a place of a unit's result."""
        return over_seeds(self.results, self.seeds, unit, keys)

    def points(self, unit: str, *keys: str) -> np.ndarray:
        """(seeds, ) values of 0 to 1, in points of 100."""
        return 100 * self.values(unit, *keys)


def judge(world: str, results: Results, claims: Sequence[int], seeds: Sequence[int]) -> list[Row]:
    """The rows of the table, each with its bar and whether it is met.

    Args:
        world: Name of the world.
        results: Results of all units of the world that the claims need.
        claims: Numbers of the measurements, 1 to 5.
        seeds: Seeds of the units.
    """
    own = Seeds(results, seeds)
    judges: dict[int, Callable[[Seeds], list[Row]]] = {
        1: _exemplars, 2: _mixed, 3: _negatives, 4: _calibration, 5: _pairs}
    return [{'claim': claim, 'world': world, **row}
            for claim in sorted(set(claims)) for row in judges[claim](own)]


def _row(what: str, measured: str, bar: str = '', met: bool | None = None) -> Row:
    verdict = 'reported' if met is None else 'met' if met else 'missed'
    return {'measurement': what, 'measured': measured, 'bar': bar, 'verdict': verdict}


def _exemplars(own: Seeds) -> list[Row]:
    tuned = own.points('tune', 'AP')
    rows = [_row('AP without a usable word, zero-shot and prompt tuning from '
                 f'{max(SHOTS)} pictures each',
                 f'{spread(own.points("tune", "zero_shot"))} and {spread(tuned)}')]
    for shots in SHOTS:
        ours, start = (own.points(f'learn-{shots}', key) for key in ('AP', 'start_AP'))
        share = 100 * ours / tuned
        text = f'{spread(share, 0)} % (AP {spread(ours)}; training-free {spread(start)})'
        what = f"exemplars from {shots}, of prompt tuning's AP"
        rows.append(_row(what, text, f'>= {LEAST_SHARE:.0%}', share.mean() >= 100 * LEAST_SHARE)
                    if shots == max(SHOTS) else _row(what, text))
    return rows


def _mixed(own: Seeds) -> list[Row]:
    alone, beside = (own.points('mixed', 'words', key) for key in ('alone', 'mixed'))
    lost = alone - beside
    before, after, with_task = (own.points('mixed', 'elsewhere', key)
                                for key in ('before', 'after', 'with_task'))
    forgotten = before - with_task
    return [
        _row('AP that words lose beside exemplars', f'{spread(lost, 2)} of {spread(alone)}',
             f'within {MOST_WORDS_LOST:g}', abs(lost.mean()) <= MOST_WORDS_LOST),
        _row('AP of exemplars, beside words and alone',
             f'{spread(own.points("mixed", "exemplars"))} and '
             f'{spread(own.points(f"learn-{max(SHOTS)}", "AP"))}'),
        _row('AP lost elsewhere, asked with the task', f'{spread(forgotten, 2)} of '
             f'{spread(before)}', '0', bool((forgotten == 0).all() and (before == after).all()))]


def _negatives(own: Seeds) -> list[Row]:
    plain, ours = (own.values('negatives', key) for key in ('without', 'with'))
    met = ours.sum() <= MOST_FOOLED * plain.sum() and plain.sum() > 0
    return [
        _row(f'look-alikes taken for the thing at equal recall ({100 * RECALL:.0f} % or less), '
             'without and with negatives',
             f'{spread(plain)} and {spread(ours)} (recall '
             f'{spread(own.points("negatives", "recall"))}'
             ' %)', 'at most half', bool(met)),
        _row('objects found at any score, without and with negatives',
             f'{spread(own.points("negatives", "found_without"))} and '
             f'{spread(own.points("negatives", "found_with"))} %'),
        _row('AP among look-alikes, without and with negatives',
             f'{spread(own.points("negatives", "AP_without"))} and '
             f'{spread(own.points("negatives", "AP_with"))}')]


def _calibration(own: Seeds) -> list[Row]:
    rows = []
    for kind, what in (('names', 'names of all groups'), ('exemplars', 'exemplars')):
        before, after = (own.points('calibration', kind, 'error', key)
                         for key in ('before', 'after'))
        single, each = (own.points('calibration', kind, 'f1', key)
                        for key in ('single', 'per_class'))
        ratio = after.mean() / before.mean() if before.mean() else np.inf
        rows += [
            _row(f'expected calibration error on held-out thirds, {what}, before and after',
                 f'{spread(before)} and {spread(after)} %', 'at most half',
                 bool(ratio <= MOST_ERROR)),
            _row(f'F1 there, {what}, the best single threshold and one per class',
                 f'{spread(single)} and {spread(each)}', 'one per class above',
                 bool(each.mean() > single.mean()))]
    return rows


def _pairs(own: Seeds) -> list[Row]:
    def share(question: str, key: str) -> np.ndarray:
        return own.points('pairs', question, key)

    labelled = 100 * share('exclusive', 'one') / np.maximum(share('exclusive', 'some'), 1e-9)
    return [
        _row('objects of exclusive pairs with one label, of those with any',
             f'{spread(labelled)} % ({spread(share("exclusive", "one"))} % of all; without the '
             f'rule {spread(share("free", "one"))} % of all)', f'>= {LEAST_ONE_LABEL:.0%}',
             labelled.mean() >= 100 * LEAST_ONE_LABEL),
        _row('objects with the right label and no other, without the rule and with it',
             f'{spread(share("free", "right"))} and {spread(share("exclusive", "right"))} %'),
        _row('objects whose best label is right, without the rule and with it',
             f'{spread(share("free", "best"))} and {spread(share("exclusive", "best"))} %')]


def score_rows(world: str, results: Results, seeds: Sequence[int]) -> list[Row]:
    """A row per seed and way to learn: points of AP, and what it took."""
    rows = []
    for seed in seeds:
        if (tuned := results.get(f'tune-{seed}')) is not None:
            rows.append({'world': world, 'seed': seed,
                         'learned by': f'prompt tuning, {max(SHOTS)} pictures',
                         'AP': round(100 * tuned['AP'], 1), 'AP50': round(100 * tuned['AP50'], 1),
                         'seconds': round(60 * tuned['minutes']), 'steps': tuned['passes']})
        for shots in SHOTS:
            if (ours := results.get(f'learn-{shots}-{seed}')) is None:
                continue
            for way, key in (('training-free', 'start_'), ('refined', '')):
                rows.append({
                    'world': world, 'seed': seed, 'learned by': f'exemplars, {shots}, {way}',
                    'AP': round(100 * ours[f'{key}AP'], 1),
                    'AP50': round(100 * ours[f'{key}AP50'], 1),
                    'seconds': round(ours[f'{key}seconds'], 1), 'steps': ours[f'{key}steps']})
    return rows
