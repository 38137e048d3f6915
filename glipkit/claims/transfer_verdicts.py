"""What the units of the transfer benchmark say: comparisons against their bars, scores, a plot."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from glipkit.benchmarks.results import spread
from glipkit.claims.transfer_tasks import FEW_SHOT, LEARNT
from glipkit.claims.transfer_units import SHOTS, TuningRun
from glipkit.files import write_encoded

#: Bars, in shares, points of AP (of 100) and bytes.
LEAST_SHARE, MOST_PARAMETERS = .9, .02
#: In shares of a gain; by the paper's ODinW averages GLIP-T (A) and GLIP-T lie 0.45 apart.
LEAST_LATE_GAP = .1
LEAST_WORD_GAIN = 3.
MOST_LOST, LEAST_LOST = {'prompt': .5, 'lora': 1.}, 1.
MOST_TASK_BYTES = 10**6

Results = Mapping[str, Mapping[str, Any]]
Row = dict[str, Any]


class Scores:
    """Scores by model, strategy and shots, as means over the tasks that are learnt.

    Args:
        results: Name of a unit -> what it wrote.
    """

    def __init__(self, results: Results) -> None:
        self.results = results

    def units(self, model: str, strategy: str, shots: int | None = None) -> list[Mapping]:
        """The units over which a score is a mean."""
        tasks = FEW_SHOT if shots else LEARNT
        return [self.results[TuningRun(model, strategy, task, shots).name] for task in tasks]

    def seeds(self, model: str, strategy: str, shots: int | None = None,
              split: str = 'test') -> np.ndarray:
        """(seeds, ) points of AP."""
        return 100 * np.mean([[seed['scores'][split]['AP'] for seed in unit['seeds']]
                              for unit in self.units(model, strategy, shots)], 0)

    def zero_shot(self, model: str, strategy: str, shots: int | None = None,
                  split: str = 'test') -> float:
        """Points of AP of the model before it was tuned."""
        return 100 * float(np.mean([unit['zero_shot'][split]['AP']
                                    for unit in self.units(model, strategy, shots)]))

    def share(self, model: str) -> np.ndarray | None:
        """(seeds, ) gain of prompt tuning, divided by that of full tuning; None where that is 0."""
        zero = self.zero_shot(model, 'full')
        full = self.seeds(model, 'full') - zero
        return None if (full <= 0).any() else (self.seeds(model, 'prompt') - zero) / full


def judge(results: Results, claims: Sequence[int], word_tasks: Sequence[str]) -> list[Row]:
    """The rows of the table, each with its bar and whether it is met.

    Args:
        results: Results of all units that the claims need.
        claims: Numbers of the comparisons.
        word_tasks: The tasks of comparison 5.
    """
    scores = Scores(results)
    judges: dict[int, Callable[[], list[Row]]] = {
        1: lambda: _share(scores), 2: lambda: _late(scores), 3: lambda: _probe(scores),
        4: lambda: _shots(scores), 5: lambda: _word_gain(results, word_tasks),
        6: lambda: _forgetting(scores), 7: lambda: _files(scores)}
    return [row for claim in sorted(set(claims)) for row in judges[claim]()]


def _row(claim: int, what: str, measured: str, bar: str, met: bool) -> Row:
    return {'claim': claim, 'comparison': what, 'measured': measured, 'bar': bar,
            'verdict': 'met' if met else 'missed'}


def _percent(share: np.ndarray | None) -> str:
    return 'full tuning gains nothing' if share is None else f'{spread(100 * share, 0)} %'


def _share(scores: Scores) -> list[Row]:
    share = scores.share('deep')
    trained = [max(unit['trained_parameters'] for unit in scores.units('deep', strategy))
               for strategy in ('prompt', 'full')]
    fraction = trained[0] / trained[1]
    return [
        _row(1, "prompt tuning's part of full tuning's gain, deep fusion", _percent(share),
             f'>= {LEAST_SHARE:.0%}', share is not None and float(share.mean()) >= LEAST_SHARE),
        _row(1, 'parameters it trains, of those of full tuning',
             f'{trained[0]:,} of {trained[1]:,}: {fraction:.2%}', f'< {MOST_PARAMETERS:.0%}',
             fraction < MOST_PARAMETERS)]


def _late(scores: Scores) -> list[Row]:
    deep, late = scores.share('deep'), scores.share('late')
    apart = (deep is not None and late is not None
             and float(deep.mean() - late.mean()) > max(LEAST_LATE_GAP,
                                                        float(deep.std() + late.std())))
    return [_row(2, "prompt tuning's part of full tuning's gain, late fusion",
                 f'{_percent(late)}, deep {_percent(deep)}',
                 f'below deep by > {100 * LEAST_LATE_GAP:.0f} and > both deviations together',
                 apart)]


def _probe(scores: Scores) -> list[Row]:
    prompt, head = scores.seeds('deep', 'prompt'), scores.seeds('deep', 'head')
    return [_row(3, 'AP of prompt tuning and of the linear probe, deep fusion',
                 f'{spread(prompt)} and {spread(head)}',
                 'prompt above by more than the larger deviation',
                 float(prompt.mean() - head.mean()) > max(prompt.std(), head.std()))]


def _shots(scores: Scores) -> list[Row]:
    ours, theirs = ([scores.seeds(model, 'full', shots) for shots in SHOTS]
                    for model in ('deep', 'classes'))
    means = [float(values.mean()) for values in ours]
    rows = [_row(4, f'AP at {", ".join(map(str, SHOTS))} shots, grounding pre-training',
                 ', '.join(map(spread, ours)), 'rises with every step',
                 all(low < high for low, high in zip(means, means[1:])))]
    for shots, our, their in zip(SHOTS, ours, theirs):
        rows.append(_row(4, f'AP at {shots} shots, grounding and class-only pre-training',
                         f'{spread(our)} and {spread(their)}', 'grounding above',
                         float(our.mean()) > float(their.mean())))
    return rows


def _word_gain(results: Results, word_tasks: Sequence[str]) -> list[Row]:
    units = [results[TuningRun('deep', 'manual', task).name] for task in word_tasks]
    plain, written = (100 * np.array(values) for values in (
        [unit['zero_shot']['test']['AP50'] for unit in units],
        [unit['seeds'][0]['scores']['test']['AP50'] for unit in units]))
    return [_row(5, 'AP50 of an unknown word, as it is and described by hand',
                 f'{spread(plain)} and {spread(written)}, gain {spread(written - plain)}',
                 f'gain >= {LEAST_WORD_GAIN:g}',
                 float((written - plain).mean()) >= LEAST_WORD_GAIN)]


def _forgetting(scores: Scores) -> list[Row]:
    rows = []
    for strategy in ('prompt', 'lora', 'full'):
        before = scores.zero_shot('deep', strategy, split='held_out')
        lost = before - scores.seeds('deep', strategy, split='held_out')
        most = MOST_LOST.get(strategy)
        bar, met = ((f'> {LEAST_LOST:g}', lost.mean() > LEAST_LOST) if most is None else
                    (f'<= {most:g}', lost.mean() <= most))
        rows.append(_row(6, f'held-out AP lost by strategy {strategy}, of {before:.1f}',
                         spread(lost), bar, bool(met)))
    return rows


def _files(scores: Scores) -> list[Row]:
    units = scores.units('deep', 'prompt')
    size = max(unit['task_bytes'] for unit in units)
    return [
        _row(7, 'size of a task file, prompt tuning', f'{size / 1000:.1f} kB',
             f'< {MOST_TASK_BYTES / 1000:.0f} kB', size < MOST_TASK_BYTES),
        *(_row(7, what, 'equal' if all(u['repeats'][key] for u in units) else 'different',
               'equal in every bit', all(u['repeats'][key] for u in units))
          for key, what in (('task', 'detections of a task file in two models loaded apart'),
                            ('base', 'detections of the base model before and after a task')))]


def score_rows(results: Results) -> list[Row]:
    """One row per unit: what it scored, and what that took."""
    rows = []
    for name, unit in results.items():
        points = {split: [100 * seed['scores'][split]['AP'] for seed in unit['seeds']]
                  for split in unit['zero_shot']}
        row = {'unit': name, 'zero-shot AP': round(100 * unit['zero_shot']['test']['AP'], 1),
               'AP': spread(np.array(points['test'])),
               'AP50': spread(np.array([100 * s['scores']['test']['AP50']
                                        for s in unit['seeds']])),
               'trained parameters': unit['trained_parameters'],
               'file kB': round(unit['task_bytes'] / 1000, 1),
               'minutes a seed': round(float(np.mean([s['minutes'] for s in unit['seeds']])), 1)}
        if 'held_out' in points:
            row['held-out AP'] = spread(np.array(points['held_out']))
        rows.append(row)
    return rows


def plot_shots(results: Results, path: Path) -> None:
    """AP over shots of both pre-trainings, with deviations and both zero-shot levels."""
    scores = Scores(results)
    axes = (figure := Figure(figsize=(5, 3.5), layout='constrained')).subplots()
    for (model, label), colour in zip((('deep', 'grounding'), ('classes', 'class lists only')),
                                      ('tab:blue', 'tab:orange')):
        points = np.array([scores.seeds(model, 'full', shots) for shots in SHOTS])
        axes.errorbar(SHOTS, points.mean(1), points.std(1), marker='o', capsize=3,
                      color=colour, label=f'{label}, tuned')
        axes.axhline(scores.zero_shot(model, 'full', SHOTS[0]), ls=':', color=colour,
                     label=f'{label}, zero-shot')
    axes.set(xlabel='shots per class', ylabel='AP', xticks=SHOTS)
    axes.legend(frameon=False, fontsize=8)
    write_encoded(path, lambda file: figure.savefig(file, dpi=120, format=path.suffix[1:]))
