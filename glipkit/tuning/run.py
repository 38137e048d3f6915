"""From a COCO json to a tuned detector: zero-shot first, then training, best weights, report."""
from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.logging import MMLogger
from torch import nn

from glipkit.apis.build import checkpoint_for, find_config, load, model_name, read_config
from glipkit.apis.tasks import Task, TaskViews, fingerprint, make_task, read_task, save_task
from glipkit.common.reporter import note
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.data.formats.read_once import files_read_once
from glipkit.engine.hooks.plateau import BEST, LAST
from glipkit.engine.transfer import build_strategy
from glipkit.files import copy_file, make_folder, write_text
from glipkit.models.contract import GroundingDetector
from glipkit.runs.folder import claimed
from glipkit.runs.results import remembered
from glipkit.text.query import Query
from glipkit.text.query_parts import COMBINE
from glipkit.text.structures import CaptionPrompt
from glipkit.tuning.data import TuneData, check_data, prepare_data, training_images
from glipkit.tuning.processes import own_device, silent_but_first, start_processes
from glipkit.tuning.prompts import (
    Choices,
    Scored,
    best_prompts,
    one_prompt,
    read_prompts,
    search_prompts,
)
from glipkit.tuning.queries import read_parts
from glipkit.tuning.result import TuneResult
from glipkit.tuning.settings import AnnotatedImages, TuneSettings
from glipkit.tuning.training import evaluate, train

RESULT, TASK = 'result.json', 'task.safetensors'


def tune(settings: TuneSettings) -> TuneResult:
    """Tunes a model on a task; the same call again resumes.

    Started by torchrun, all processes work together. Notes and progress of the first go to the
    current reporter.

    Raises:
        UserError: Files, settings or a folder that cannot be used.
    """
    settings.check()
    start_processes(settings.device)
    if not MMLogger.check_instance_created('tune'):
        MMLogger.get_instance('tune', log_level='ERROR')
    with silent_but_first(), files_read_once():
        if is_main_process():
            lines = check_data(settings, read_config(find_config(settings.model)))
            own = read_coco_json(settings.data.ann_file)
            _hand_written(settings, own.real_classes.values())
            if settings.query is not None:
                read_parts(settings.query, list(own.real_classes.values()))
            for line in lines:
                note(line)
        checkpoint = checkpoint_for(settings.model, settings.checkpoint)
        settings = replace(settings, checkpoint=str(checkpoint))
        base = load(settings.model, settings.checkpoint, own_device(settings.device))
        build_strategy(settings.recipe.strategy).check(base)
        base_digest = fingerprint(base)
        with _own_folder(settings, base_digest):
            return _tune(settings, base, base_digest)


@contextmanager
def _own_folder(settings: TuneSettings, base: str) -> Iterator[None]:
    """The folder of the run, which the first process claims and gets ready for all."""
    with (claimed(settings.out, settings.identity(base)) if is_main_process()
          else nullcontext(False)) as resumed:
        if resumed:
            note(f'resuming the run in {settings.out}')
        if is_main_process():
            prepare_data(settings)
        barrier()
        yield


def _tune(settings: TuneSettings, base: nn.Module, base_digest: str) -> TuneResult:
    data = prepare_data(settings)
    for text in data.notes:
        note(f'note: {text}')
    run = _Run(settings, data, base, base_digest)
    zero_shot = run.zero_shot()
    for name, scores in zero_shot.items():
        note(f'zero-shot on {name}: AP {scores["AP"]:.3f}, AP50 {scores["AP50"]:.3f}')
    run.choose_combine()
    tried: tuple[Scored, ...] = ()
    if settings.recipe.strategy['name'] == 'manual':
        seeds, tried = run.choose_prompts(zero_shot)
    else:
        seeds = []
        for seed in settings.seeds:
            seeds.append(run.one_seed(seed))
            scores = ', '.join(f'{name} {s["AP"]:.3f}'
                               for name, s in seeds[-1]['scores'].items())
            note(f'seed {seed}: AP {scores}')
    result = TuneResult(settings, data, zero_shot, seeds, settings.out / TASK, tried)
    if is_main_process():
        copy_file(settings.out / f'seed_{result.best["seed"]}' / TASK, result.task)
    barrier()
    return result


class _Run:
    """The phases of a run, and the values that they share."""

    def __init__(self, settings: TuneSettings, data: TuneData, base: nn.Module,
                 digest: str) -> None:
        self.settings, self.data, self.base, self.digest = settings, data, base, digest
        self.classes = list(data.classes.values())
        self.server = TaskViews(base, digest)
        self.candidates, caption_prompt = _hand_written(settings, self.classes)
        self.query = Query.for_classes(self.classes, caption_prompt)
        if settings.query is not None:
            parts, self.open_combine = read_parts(settings.query, self.classes)
            self.query = Query.for_classes(self.classes, caption_prompt, **parts)

    def scored_sets(self) -> dict[str, AnnotatedImages]:
        """Name -> images to score on."""
        found = dict(val=self.data.val, test=self.data.test, held_out=self.settings.held_out)
        return {name: images for name, images in found.items() if images is not None}

    def score(self, name: str, title: str, query: Query,
              predictions: Path | None = None, model: GroundingDetector | None = None
              ) -> dict[str, float]:
        """Scores of a model; a held-out set is asked for its own classes.

        Args:
            name: Key of `scored_sets`.
            title: Title of the progress bar.
            query: The task's classes and what goes with them.
            predictions: Beginning of the name ``<predictions>.bbox.json`` of a file for COCO
                results; None writes none.
            model: Detector; None takes the base model.
        """
        own = query if name != 'held_out' else None
        return evaluate(model or self.base, self.scored_sets()[name], f'{title}, {name}',
                        query=own, predictions=predictions, workers=self.settings.workers)

    def zero_shot(self) -> dict[str, dict[str, float]]:
        """Scores of the base model, with the plain class names."""
        folder, plain = self.settings.out / 'zero_shot', Query.for_classes(self.classes)
        return {name: remembered(folder / f'{name}.json', lambda n=name: self.score(
            n, 'zero-shot', plain, _writable(folder) / n)) for name in self.scored_sets()}

    def choose_combine(self) -> None:
        """Takes the maximum or the mean of a class's names, whichever is better on ``val``."""
        if not self.query.synonyms or not self.open_combine:
            return
        file = _writable(self.settings.out / 'zero_shot') / 'combine.json'
        found = remembered(file, lambda: {
            how: self.score('val', f'names by {how}', replace(self.query, combine=how))['AP']
            for how in COMBINE})
        best = max(COMBINE, key=found.get)  # of equals the first
        self.query = replace(self.query, combine=best)
        note(f'names of one class: {best} of their scores (AP on val: '
             + ', '.join(f'{how} {score:.3f}' for how, score in found.items()) + ')')

    def one_seed(self, seed: int) -> dict[str, Any]:
        """Trains, keeps and scores one seed."""
        folder = self.settings.out / f'seed_{seed}'
        result = remembered(folder / RESULT, lambda: self._train_seed(seed, _writable(folder)))
        if is_main_process():
            for name in (LAST, BEST):  # the task file holds what was best
                (folder / name).unlink(missing_ok=True)
        return result

    def _train_seed(self, seed: int, folder: Path) -> dict[str, Any]:
        settings, start = self.settings, time.monotonic()
        data = training_images(self.data, settings.shots, seed, settings.out / 'data')
        strategy = build_strategy(settings.recipe.strategy)
        before, after, history = train(
            self.base, settings, self.query, data, self.data.val, folder, seed)
        if settings.interpolate < 1:
            device = next(iter(before.values())).device
            after = strategy.interpolate(before, {k: v.to(device) for k, v in after.items()},
                                         settings.interpolate)
        about = dict(seed=seed, shots=settings.shots, interpolate=settings.interpolate)
        task = self._task(after, self.query, about)
        scores = self._keep_and_score(task, folder, strategy.closed)
        return dict(seed=seed, scores=scores, history=history, train_file=str(data.ann_file),
                    train_images=len(read_coco_json(data.ann_file).images),
                    minutes=(time.monotonic() - start) / 60)

    def _task(self, state: Mapping[str, torch.Tensor], query: Query,
              about: Mapping[str, Any]) -> Task:
        return make_task(self.base, self.settings.recipe.strategy, state, self.data.classes,
                         self.digest, model_name(self.settings.model), query.caption_prompt, about,
                         query.parts)

    def _keep_and_score(self, task: Task, folder: Path, closed: bool) -> dict[str, Any]:
        """Writes the task file, reads it again and scores it on the base model."""
        if is_main_process():
            save_task(task, folder / TASK)
        barrier()
        name = self.server.load(read_task(folder / TASK), str(folder))
        scores = {}
        for scored in self.scored_sets():
            # A learned prompt has no other classes; those are asked of the model without it.
            inside = scored != 'held_out' or not closed
            model = self.server.view(name if inside else None)
            scores[scored] = self.score(scored, folder.name, task.query,
                                        folder / scored if scored != 'held_out' else None, model)
        return scores

    def choose_prompts(self, zero_shot: Mapping[str, Mapping[str, float]]
                       ) -> tuple[list[dict[str, Any]], tuple[Scored, ...]]:
        """The best hand-written prompts on ``val``; nothing trains."""
        settings, start = self.settings, time.monotonic()
        plain = zero_shot['val']['AP'] if not self.query.parts else None

        def score(prompts: CaptionPrompt) -> float:
            if not prompts and plain is not None:
                return plain
            return self.score('val', f'prompt {prompts}',
                              self.query.with_caption_prompt(prompts))['AP']

        tried = search_prompts(self.candidates, score)
        best = best_prompts(tried)
        folder = _writable(settings.out / 'seed_0')
        if is_main_process():
            # JSON is YAML, and can hold any class name.
            write_text(settings.out / 'prompts.yaml',
                       json.dumps(best.prompts, ensure_ascii=False, indent=1) + '\n')
        query = self.query.with_caption_prompt(best.prompts)
        scores = self._keep_and_score(self._task({}, query, {}), folder, False)
        result = dict(seed=0, scores=scores, history=[], train_images=0, train_file='',
                      minutes=(time.monotonic() - start) / 60)
        return [result], tuple(tried)


def _hand_written(settings: TuneSettings, classes: Iterable[str]
                  ) -> tuple[list[Choices], CaptionPrompt | None]:
    """Prompts to choose from, and those to train with where there is no choice."""
    if settings.prompts is None:
        return [], None
    candidates = read_prompts(settings.prompts, list(classes))
    if settings.recipe.strategy['name'] == 'manual':
        return candidates, None
    return candidates, one_prompt(candidates, settings.prompts)


def _writable(folder: Path) -> Path:
    make_folder(folder)
    return folder
