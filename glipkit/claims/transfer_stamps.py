"""Prompt tuning with few shots on photographs: the tasks of ``glipkit odinw`` on a stamps world.

Section 5.2 of the GLIP paper (data efficiency on ODinW) in miniature. Every kind of thing (birds,
fruit, tools) is a task. The model is scored as it is, and with prompts learnt from 1, 3, 5 and 10
examples of each class. The pictures are drawn here; pre-training did not have them.
"""
from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.apis.build import checkpoint_for
from glipkit.benchmarks.results import spread, table
from glipkit.common.digests import file_sha256
from glipkit.common.reporter import note
from glipkit.errors import UserError
from glipkit.files import write_text
from glipkit.odinw.benchmark import ZERO_SHOT, OdinwSettings, run_odinw
from glipkit.runs import folder
from glipkit.runs.results import read_results
from glipkit.worlds import stamps

MODEL = 'glip-photo'
SHOTS = (1, 3, 5, 10)
#: Seed of the pictures; pre-training has those of seed 0.
WORLD_SEED = 1
#: Pictures to learn from, a fifth of them to choose the best pass on, and to score on.
PICTURES = (1000, 600)
#: Points of AP50, the mean over the tasks.
LEAST_ZERO_SHOT = 25.
NOTES = (
    'Points (of 100) on test pictures: mean ± deviation of the population over seeds, each the '
    'mean over the tasks. Seeds draw the shots and the order.',
    'A task is a kind of thing; pre-training had other pictures of these things, with boxes.')

Row = dict[str, Any]


@dataclass(frozen=True)
class Setup:
    """A run on the stamps world.

    Args:
        folder: Folder of everything that is kept.
        model: Model name or config.
        checkpoint: Weights.
        pictures: Pictures to learn from, and to score on.
        tasks: Names of the tasks; none for all.
        seeds: Seeds of tuning.
        max_passes: Most passes of a tuning run; None leaves it to the recipe.
        device: Device to run on.
    """
    folder: Path
    model: str
    checkpoint: Path
    pictures: tuple[int, int]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    max_passes: int | None
    device: str

    def identity(self) -> dict[str, Any]:
        """What results depend on; other tasks may follow in the same folder."""
        return {'world': 'stamps', 'model': self.model, 'weights': file_sha256(self.checkpoint),
                'pictures': list(self.pictures), 'seeds': list(self.seeds),
                'max_passes': self.max_passes}

    def settings(self, shots: int) -> OdinwSettings:
        """The run of `run_odinw` with some shots; 0 is zero-shot."""
        options = {'schedule.max_epochs': self.max_passes} if self.max_passes and shots else {}
        return OdinwSettings(
            root=self.folder / 'world', out=self.folder / f'shots-{shots}',
            strategy='prompt' if shots else ZERO_SHOT, model=self.model,
            checkpoint=str(self.checkpoint), shots=shots or None, seeds=self.seeds,
            only=self.tasks, options=options, device=self.device)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Scores the model with every number of shots; the same call again resumes.

    Args:
        args: Arguments of `transfer.add_arguments`, and ``out``.

    Returns:
        As `transfer.run`.

    Raises:
        UserError: No weights, a task that the world does not have, or a folder of another run.
    """
    setup = Setup(
        args.out.resolve() / 'transfer', MODEL, Path(checkpoint_for(MODEL, args.checkpoint)),
        tuple(args.world_pictures), tuple(args.only), tuple(args.seeds), args.max_passes,
        args.device)
    folder.claim(setup.folder, setup.identity())
    train, test = setup.pictures
    stamps.build(setup.folder / 'world', WORLD_SEED, train, 0, test, stamps_dir=args.stamps)
    scores = {}
    for shots in (0, *SHOTS):
        note(f'{shots} shots')
        settings = setup.settings(shots)
        board, skipped = run_odinw(settings)
        if skipped:
            title, reason = next(iter(skipped.items()))
            raise UserError('tasks that can be tuned', f'{title}: {reason}',
                            'choose others with --only, or draw more --world-pictures')
        scores[shots] = {row.title: read_scores(settings, row.name) for row in board.rows
                         if row.ap is not None}
    rows = score_rows(scores)
    write_text(args.out / 'transfer-scores.md', table(rows) + '\n')
    return {'setting': _setting(setup, scores[0]), 'scores': rows,
            'notes': [*NOTES, 'Scores of every task: transfer-scores.md.'], 'rows': judge(scores),
            'units': {str(shots): tasks for shots, tasks in scores.items()}}


def read_scores(settings: OdinwSettings, name: str) -> list[dict[str, float]]:
    """AP and AP50 of a task, of every seed; zero-shot has one."""
    task = settings.out / name
    if settings.strategy == ZERO_SHOT:
        found = read_results({ZERO_SHOT: task / 'zero_shot.json'}).values()
    else:
        results = read_results({str(seed): task / f'seed_{seed}' / 'result.json'
                                for seed in settings.seeds})
        found = [result['scores']['test'] for result in results.values()]
    return [{metric: one[metric] for metric in ('AP', 'AP50')} for one in found]


Scores = Mapping[int, Mapping[str, Sequence[Mapping[str, float]]]]


def points(tasks: Iterable[Sequence[Mapping[str, float]]], metric: str) -> np.ndarray:
    """(seeds, ) points of the mean over tasks."""
    return 100 * np.mean([[seed[metric] for seed in seeds] for seeds in tasks], 0)


def judge(scores: Scores) -> list[Row]:
    """A row per number of shots, and the two bars.

    Args:
        scores: Shots (0 is zero-shot) -> task -> scores of every seed.
    """
    means = {shots: points(tasks.values(), 'AP50') for shots, tasks in scores.items()}
    rows = [{'line': _title(shots), 'AP50': _told(means[shots]),
             'AP': _told(points(tasks.values(), 'AP'))} for shots, tasks in scores.items()]
    order = [float(mean.mean()) for _, mean in sorted(means.items())]
    rises = all(low < high for low, high in zip(order, order[1:]))
    return [*rows,
            _verdict('zero-shot AP50', f'{order[0]:.1f}', f'>= {LEAST_ZERO_SHOT:g}',
                     order[0] >= LEAST_ZERO_SHOT),
            _verdict('AP50 over shots', ', '.join(f'{mean:.1f}' for mean in order),
                     'rises with every step', rises)]


def _verdict(line: str, measured: str, bar: str, met: bool) -> Row:
    return {'line': line, 'measured': measured, 'bar': bar, 'verdict': 'met' if met else 'missed'}


def score_rows(scores: Scores) -> list[Row]:
    """A row per task: points of AP50 over the shots."""
    return [{'task': task, **{_title(shots): _told(points([tasks[task]], 'AP50'))
                              for shots, tasks in scores.items()}} for task in scores[0]]


def _title(shots: int) -> str:
    return ZERO_SHOT if not shots else '1 shot' if shots == 1 else f'{shots} shots'


def _told(values: np.ndarray) -> str:
    return f'{values[0]:.1f}' if len(values) == 1 else spread(values)


def _setting(setup: Setup, tasks: Mapping[str, Any]) -> dict[str, Any]:
    return {'model': setup.model, 'tasks': ', '.join(tasks),
            'seeds': ' '.join(map(str, setup.seeds)),
            'pictures': f'{setup.pictures[0]} to learn from, {setup.pictures[1]} to score on',
            'passes': setup.max_passes or "the recipe's"}
