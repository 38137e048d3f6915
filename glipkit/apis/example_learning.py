"""From examples to a task file: a start without training, then as many steps as time allows."""
from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from glipkit.apis.batches import Pipelines
from glipkit.apis.example_views import make_views
from glipkit.apis.examples import ExampleSet
from glipkit.apis.tasks import Task, make_task
from glipkit.checkpoints.files import write_safetensors
from glipkit.common import reporter
from glipkit.engine.transfer.examples import learned_state
from glipkit.engine.transfer.refinement import Refinement, View, frozen_view
from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.text.query import Query

#: Steps where nobody says how many; most sets end sooner.
MOST_STEPS = 200
#: Seconds between two records of how far the work is.
SAVED_EVERY = 5.
#: Seeds go up to here.
MOST_SEED = 2**32 - 1


@dataclass(frozen=True)
class LearnSettings:
    """How long to learn.

    Args:
        seconds: Time for everything, of all starts of the same work together; None for no limit.
        steps: Steps exactly, so that the same command gives the same file; None for as many as the
            seconds allow, fewer where the loss on held-out views no longer falls. 0 takes the start
            as it is.
        seed: Seed of the order of the views.
    """

    seconds: float | None = 60.
    steps: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seconds is not None and not (
                isinstance(self.seconds, Real) and 0 <= self.seconds < float('inf')):
            raise UserError('seconds from 0', repr(self.seconds), 'pass e.g. 60')
        if self.steps is not None and not (isinstance(self.steps, Integral) and self.steps >= 0):
            raise UserError('steps from 0', repr(self.steps), 'pass e.g. 60, or leave it out')
        if not (isinstance(self.seed, Integral) and 0 <= self.seed <= MOST_SEED):
            raise UserError(f'a seed from 0 to {MOST_SEED}', repr(self.seed), 'pass e.g. 0')


def learn(model: GroundingDetector, pipelines: Pipelines, examples: ExampleSet,
          settings: LearnSettings, base: str, name: str, words: Query | None = None,
          ids: Mapping[str, int] | None = None, progress: Path | None = None) -> Task:
    """Learns names from examples.

    Args:
        model: Detector, which is not changed.
        pipelines: From `build_pipelines`.
        examples: What is shown.
        settings: How long.
        base: Fingerprint of the model.
        name: Name of the model, for messages.
        words: What the task asks for before the names that were learned, and all that goes with
            it; a name that it holds already is not added.
        ids: Category id of each class; default from 1 on.
        progress: File from which the same work goes on after a kill; removed at the end.

    Raises:
        UserError: A model that cannot learn names, or a question that it cannot be asked.
    """
    begin = time.monotonic()
    query = _with_names(words, examples.names)
    model.prompts(query)  # what cannot be asked is refused before anything is learned
    clock = _Clock(begin, settings.seconds if settings.steps is None else None)
    frozen = frozen_view(model)
    prompts = frozen.example_prompts(examples.names, examples.negatives)
    views = make_views(frozen, pipelines, examples, clock.seconds,
                       frozen.refines_names and settings.steps != 0)
    identity = json.dumps([base, examples.digest, settings.steps, settings.seed, len(views)])
    saved = _read(progress, identity)
    starts = [saved[0][f'start.{i}'].to(views[0].maps[0].device) for i in range(len(prompts))] \
        if saved else _starts(frozen, prompts, views, len(examples.names))
    facts: dict[str, Any] = dict(images=len(examples.images), views=len(views), steps=0)
    rows = starts
    if frozen.refines_names:
        work = Refinement(frozen, prompts, starts, views, len(examples.names), settings.seed)
        if saved:
            work.load(*saved)
            clock.used = float(saved[1]['seconds'])
        _advance(work, settings, clock, _Record(progress, identity, starts))
        rows = work.best
        facts.update(steps=work.step, losses=[[step, round(loss, 5)] for step, loss in work.losses])
    facts.update(seed=settings.seed, examples=examples.digest)
    if settings.steps is None:  # equal steps make equal files
        facts.update(seconds=round(clock.elapsed, 1))
    task = _task(model, examples, rows, base, name, query, ids, facts)
    if progress is not None:
        progress.unlink(missing_ok=True)
    return task


class _Clock:
    """Seconds since the work began, those of earlier starts among them."""

    def __init__(self, begin: float, seconds: float | None) -> None:
        self._begin, self.seconds, self.used = begin, seconds, 0.

    @property
    def elapsed(self) -> float:
        return self.used + time.monotonic() - self._begin

    def allows(self, step: float) -> bool:
        """Whether there is time for one more step of so many seconds."""
        return self.seconds is None or self.elapsed + step <= self.seconds


class _Record:
    """How far the work is, in a file."""

    def __init__(self, path: Path | None, identity: str, starts: Sequence[Tensor]) -> None:
        self._path, self._identity, self._starts = path, identity, starts
        self._written = time.monotonic()

    def write(self, work: Refinement, clock: _Clock) -> None:
        """Writes the file anew, every few seconds."""
        if self._path is None or time.monotonic() - self._written < SAVED_EVERY:
            return
        tensors, values = work.state()
        tensors |= {f'start.{i}': one.cpu().clone() for i, one in enumerate(self._starts)}
        write_safetensors(tensors, self._path, dict(
            identity=self._identity, values=json.dumps(dict(values, seconds=clock.elapsed))))
        self._written = time.monotonic()


def _read(path: Path | None, identity: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What an earlier start of the same work wrote; None where there is nothing to go on with."""
    if path is None or not path.is_file():
        return None
    try:
        with safe_open(path, framework='pt', device='cpu') as file:
            metadata = file.metadata() or {}
            if metadata.get('identity') != identity:
                return None
            return ({key: file.get_tensor(key) for key in list(file.keys())},
                    json.loads(metadata['values']))
    except (SafetensorError, OSError, ValueError, KeyError):
        return None


def _starts(model: GroundingDetector, prompts: Sequence, views: Sequence[View],
            names: int) -> list[Tensor]:
    """Features of each prompt from the images as they are."""
    first = [view for view in views if view.first]
    found = []
    for prompt in prompts:
        own = [view.for_prompt(prompt, names) for view in first]
        found.append(model.start_rows(prompt, [view.maps for view in own],
                                      [view.sample for view in own]))
    return found


def _advance(work: Refinement, settings: LearnSettings, clock: _Clock, record: _Record) -> None:
    """Steps until they are done, the time is over, or nothing gets better."""
    exactly = settings.steps is not None
    most = settings.steps if exactly else MOST_STEPS
    if not work.losses:
        work.look()
    last = 0.
    with reporter.bar('learning', most, 'step') as bar, torch.random.fork_rng(devices=[]):
        bar.update(work.step)
        while work.step < most and (exactly or not work.ended) and clock.allows(last):
            before = time.monotonic()
            loss = work.advance()
            last = time.monotonic() - before
            bar.show(loss=f'{loss:.2f}')
            bar.update()
            record.write(work, clock)
    if work.losses[-1][0] != work.step:
        work.look()


def _with_names(words: Query | None, names: Sequence[str]) -> Query:
    """The question of a task: words, and behind them the names that are learned."""
    words = words or Query.for_classes(())
    known = {name for name, _ in words.asked}
    return Query.for_classes([*words.classes, *(name for name in names if name not in known)],
                             words.caption_prompt, **words.parts)


def _task(model: GroundingDetector, examples: ExampleSet, rows: Sequence[Tensor], base: str,
          name: str, query: Query, ids: Mapping[str, int] | None,
          facts: Mapping[str, Any]) -> Task:
    known = dict(ids or {})
    free = max(known.values(), default=0) + 1
    for one in query.classes:
        if one not in known:
            known[one], free = free, free + 1
    strategy = dict(name='examples', names=list(examples.names),
                    negatives=list(examples.negatives))
    return make_task(model, strategy, learned_state(rows),
                     {known[one]: one for one in query.classes}, base, name, query.caption_prompt,
                     facts, query.parts)
