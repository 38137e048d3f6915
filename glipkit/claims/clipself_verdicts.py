"""What the units of the CLIPSelf benchmark say, and the bars that it is held against."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from glipkit.benchmarks.results import spread
from glipkit.claims.region_clip_verdicts import Results, Row, Scores, row

#: A map that was not distilled names at most this multiple of what chance does.
MOST_BEFORE = 2.
#: A distilled map names at least this part of what its teacher names in crops.
LEAST_AFTER = .5
#: Boxes that retrieval compares.
COMPARED = 64
#: Points of AP50 that base names may lose.
MOST_LOST = 2.
#: Mean IoU after over before.
LEAST_PIXELS = 2.
#: Titles of the distillations that are to cure.
CURES = {'grid': 'cells of grids', 'proposals': 'boxes without labels'}
#: Detectors on their towers.
DETECTORS = {'grid': CURES['grid'], 'distilled': CURES['proposals']}


def judge(results: Results, seeds: Sequence[int]) -> list[Row]:
    """The rows of the table, each with its bar and whether it is met.

    Args:
        results: Results of all units.
        seeds: Seeds of the units.
    """
    scores = Scores(results, seeds)
    rows = [*_gap(scores), *(line for name in CURES for line in _cure(name, scores)),
            *_control(scores), *_ensemble(scores), *_detector(scores), _pixels(scores)]
    if f'photographs-{seeds[0]}' in results:
        rows += _photographs(scores)
    return rows


def _one(scores: Scores, unit: str, key: str) -> Any:
    """A number that all seeds share."""
    return scores.results[f'{unit}-{scores.seeds[0]}'][key]


def _gap(scores: Scores) -> list[Row]:
    chance = 100 / _one(scores, 'vit', 'names')
    crops, before = (scores.of('vit', what, 'all') for what in ('crops', 'regions'))
    attended = scores.of('vit', 'attended', 'all')
    return [
        row('CNN: top-1 of crops and of regions of the map',
            f"{spread(scores.of('cnn', 'crops', 'all'))} and "
            f"{spread(scores.of('cnn', 'regions', 'all'))}"),
        row('image transformer: top-1 of crops and of regions of the map',
            f'{spread(crops)} and {spread(before)}',
            f'regions at most {MOST_BEFORE:g} times chance ({chance:.1f}), every seed',
            bool((before <= MOST_BEFORE * chance).all())),
        row('the same map with attention in the last layer', spread(attended))]


def _cure(name: str, scores: Scores) -> list[Row]:
    teacher, after = scores.of('vit', 'crops', 'all'), scores.of(name, 'regions', 'all')
    sizes = ' and '.join(spread(scores.of(name, 'regions', size)) for size in ('large', 'small'))
    return [row(f'distilled from {CURES[name]}: top-1 of regions; large things and small ones',
                f'{spread(after)}; {sizes}',
                f"at least {LEAST_AFTER:g} of the teacher's crops, every seed",
                bool((after >= LEAST_AFTER * teacher).all()))]


def _control(scores: Scores) -> list[Row]:
    """Retrieval is a share of draws of `COMPARED` out of all boxes, each of which may be found."""
    share, boxes = 1 / COMPARED, _one(scores, 'shuffled', 'boxes')
    noise = 200 * (share * (1 - share) / boxes)**.5
    found = scores.of('shuffled', 'retrieval')
    names = {'vit': 'before', **{name: CURES[name] for name in CURES}}
    return [
        row(f'a region finds its own crop among {COMPARED}, in %: '
            + ', '.join(names.values()),
            ', '.join(spread(scores.of(name, 'retrieval')) for name in names)),
        row('the same, crops shuffled in training; mean-centred cosine, and that of right pairs',
            f"{spread(found)}; {_cosine(scores, 'shuffled')} and {_cosine(scores, 'grid')}",
            f'{100 * share:.1f} ± {noise:.1f}, every seed',
            bool((abs(found - 100 * share) <= noise).all()))]


def _cosine(scores: Scores, unit: str) -> str:
    """The mean-centred cosine of regions and crops, which may be below 0."""
    return spread([scores.results[f'{unit}-{seed}']['centred cosine'] for seed in scores.seeds], 2)


def _ensemble(scores: Scores) -> list[Row]:
    alphas: Mapping[str, Any] = _one(scores, 'ensemble', 'alphas')

    def curve(what: str) -> str:
        return '; '.join(spread(scores.of('ensemble', 'alphas', alpha, what, 'all'))
                         for alpha in alphas)

    title = f'weights between teacher and student, alpha {", ".join(alphas)}'
    return [row(f'{title}: top-1 of regions', curve('regions')),
            row('the same: top-1 of crops by the class token', curve('crops'))]


def _detector(scores: Scores) -> list[Row]:
    rows = []
    for kind, title in DETECTORS.items():
        pair = f'F-ViT on the plain tower and on that of {title}'
        novel, base = ([scores.of(f'fvit-{one}', f'coco/{names}_AP50') for one in ('plain', kind)]
                       for names in ('novel', 'base'))
        gain, lost = novel[1] - novel[0], float((base[0] - base[1]).mean())
        rows += [
            row(f'{pair}: AP50 of novel names; gain',
                f"{' and '.join(map(spread, novel))}; {spread(gain)}",
                'higher by more than a deviation',
                float(gain.mean()) > max(values.std() for values in novel)),
            row(f'{pair}: AP50 of base names', ' and '.join(map(spread, base)),
                f'not lower by more than {MOST_LOST:g}', lost <= MOST_LOST)]
    return rows


def _pixels(scores: Scores) -> Row:
    before, *after = (scores.of(name, 'pixels', 'segment/miou') for name in ('vit', *CURES))
    return _more_pixels('mean IoU of the pixels of things: before, ' + ', '.join(CURES.values()),
                        before, after)


def _more_pixels(what: str, before: np.ndarray, after: Sequence[np.ndarray]) -> Row:
    return row(what, ', '.join(map(spread, [before, *after])),
               f'at least {LEAST_PIXELS:g} times as much after, every seed',
               bool(all((values >= LEAST_PIXELS * before).all() for values in after)))


def _photographs(scores: Scores) -> list[Row]:
    names = scores.results[f'photographs-{scores.seeds[0]}']['before']['names']
    crops, *regions = (scores.of('photographs', *keys, 'all') for keys in (
        ('before', 'crops'), ('before', 'regions'), ('after', 'regions')))
    before, after = (scores.of('photographs', when, 'pixels', 'segment/miou')
                     for when in ('before', 'after'))
    return [row(f'photographs: top-1 over {names} names, of crops; of regions before and after',
                f'{spread(crops)}; {" and ".join(map(spread, regions))}'),
            _more_pixels('photographs: mean IoU of the pixels of things, before and after',
                         before, [after])]


def score_rows(results: Results) -> list[Row]:
    """A row per tower: what its map and its class token name, in points."""
    return [{'unit': name,
             **{f'{what} {size}': round(100 * unit[what][size], 1)
                for what in ('regions', 'crops') for size in unit[what]}}
            for name, unit in results.items() if 'crops' in unit]
