"""From a COCO json to a tuned detector: zero-shot first, then training, best weights, report."""
from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from mmengine.logging import MMLogger
from torch import nn

from glipkit.apis.build import check_device, find_config, load, model_name, read_config
from glipkit.apis.tasks import Task, TaskViews, fingerprint, make_task, read_task, save_task
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.engine.hooks.plateau import BEST, LAST
from glipkit.engine.transfer import build_strategy
from glipkit.files import make_folder, write_text
from glipkit.models.contract import GroundingDetector
from glipkit.text.query import Query
from glipkit.text.structures import CaptionPrompt
from glipkit.tuning.data import TuneData, check_data, prepare_data, training_part
from glipkit.tuning.prompts import (
    Choices,
    Scored,
    best_prompts,
    one_prompt,
    read_prompts,
    search_prompts,
)
from glipkit.tuning.settings import Part, TuneSettings, claim_folder
from glipkit.tuning.training import evaluate, train

RESULT, TASK = 'result.json', 'task.safetensors'


@dataclass(frozen=True)
class TuneResult:
    """What came out.

    Args:
        settings: What was asked for.
        data: What it was done with.
        zero_shot: ``val``, ``test`` and ``held_out`` -> scores of the base model.
        seeds: Per seed its scores on the same sets, history, shots and minutes.
        task: File of the seed that was best on ``val``.
        tried: Hand-written prompts and their scores.
    """
    settings: TuneSettings
    data: TuneData
    zero_shot: dict[str, dict[str, float]]
    seeds: list[dict[str, Any]]
    task: Path
    tried: tuple[Scored, ...] = ()

    def mean(self, part: str, metric: str = 'AP') -> tuple[float, float]:
        """Mean and standard deviation (of the population) over seeds."""
        values = [seed['scores'][part][metric] for seed in self.seeds]
        return float(np.mean(values)), float(np.std(values))

    @property
    def scored_on(self) -> str:
        """``test``, or ``val`` where there is no test set."""
        return 'test' if self.data.test else 'val'


def tune(settings: TuneSettings) -> TuneResult:
    """Tunes a model on a task; the same call goes on where an earlier one was stopped.

    Started by torchrun, all processes work together.

    Raises:
        UserError: Files, settings or folder that cannot be used.
    """
    settings.check()
    _start_processes(settings.device)
    if not MMLogger.check_instance_created('tune'):
        MMLogger.get_instance('tune', log_level='ERROR')
    print_ = print if is_main_process() else _silent
    if is_main_process():
        for line in check_data(settings, read_config(find_config(settings.model))):
            print(line)
        _hand_written(settings, read_coco_json(settings.data.ann_file).classes.values())
    base = load(settings.model, settings.checkpoint, _own_device(settings.device))
    base_digest = fingerprint(base)
    if is_main_process():
        if claim_folder(settings, base_digest):
            print(f'going on with the run in {settings.out}')
        prepare_data(settings)
    barrier()
    data = prepare_data(settings)
    for note in data.notes:
        print_(f'note: {note}')
    run = _Run(settings, data, base, base_digest)
    zero_shot = run.zero_shot()
    for part, scores in zero_shot.items():
        print_(f'zero-shot on {part}: AP {scores["AP"]:.3f}, AP50 {scores["AP50"]:.3f}')
    tried: tuple[Scored, ...] = ()
    if settings.recipe.strategy['name'] == 'manual':
        seeds, tried = run.choose_prompts(zero_shot)
    else:
        seeds = []
        for seed in settings.seeds:
            seeds.append(run.one_seed(seed))
            said = ', '.join(f'{part} {s["AP"]:.3f}' for part, s in seeds[-1]['scores'].items())
            print_(f'seed {seed}: AP {said}')
    best = max(seeds, key=lambda one: one['scores']['val']['AP'])
    task = settings.out / TASK
    if is_main_process():
        _copy(settings.out / f'seed_{best["seed"]}' / TASK, task)
    barrier()
    return TuneResult(settings, data, zero_shot, seeds, task, tried)


class _Run:
    """What the phases of a run share."""

    def __init__(self, settings: TuneSettings, data: TuneData, base: nn.Module,
                 digest: str) -> None:
        self.settings, self.data, self.base, self.digest = settings, data, base, digest
        self.classes = list(data.classes.values())
        self.server = TaskViews(base, digest)
        self.candidates, self.affixes = _hand_written(settings, self.classes)

    def parts(self) -> dict[str, Part]:
        """The sets to score on."""
        found = dict(val=self.data.val, test=self.data.test, held_out=self.settings.held_out)
        return {name: part for name, part in found.items() if part is not None}

    def score(self, part: str, what: str, affixes: CaptionPrompt | None,
              predictions: Path | None = None, model: GroundingDetector | None = None
              ) -> dict[str, float]:
        """Scores of a model, by default the base; a held-out set is asked for its own classes."""
        own = part != 'held_out'
        return evaluate(model or self.base, self.parts()[part], f'{what}, {part}',
                        affixes if own else None, self.classes if own else None, predictions,
                        self.settings.workers)

    def zero_shot(self) -> dict[str, dict[str, float]]:
        """Scores of the base model, with the plain class names."""
        folder = self.settings.out / 'zero_shot'
        return {part: remembered(folder / f'{part}.json', lambda p=part: self.score(
            p, 'zero-shot', None, _writable(folder) / p)) for part in self.parts()}

    def one_seed(self, seed: int) -> dict[str, Any]:
        """Trains, keeps and scores one seed."""
        folder = self.settings.out / f'seed_{seed}'
        return remembered(folder / RESULT, lambda: self._train_seed(seed, _writable(folder)))

    def _train_seed(self, seed: int, folder: Path) -> dict[str, Any]:
        settings, start = self.settings, time.monotonic()
        part = training_part(self.data, settings.shots, seed, settings.out / 'data')
        strategy = build_strategy(settings.recipe.strategy)
        prompts = self.base.prompts(Query.for_classes(self.classes, self.affixes))
        before, after, history = train(
            self.base, settings, prompts, part, self.data.val, folder, seed, self.affixes)
        if settings.interpolate < 1:
            device = next(iter(before.values())).device
            after = strategy.interpolate(before, {k: v.to(device) for k, v in after.items()},
                                         settings.interpolate)
        facts = dict(seed=seed, shots=settings.shots, interpolate=settings.interpolate)
        task = self._task(after, self.affixes, facts)
        scores = self._keep_and_score(task, folder, strategy.closed)
        result = dict(seed=seed, scores=scores, history=history, train_file=str(part.ann_file),
                      train_images=len(read_coco_json(part.ann_file).images),
                      minutes=(time.monotonic() - start) / 60)
        if is_main_process():
            for name in (LAST, BEST):  # the task file holds what was best
                (folder / name).unlink(missing_ok=True)
        return result

    def _task(self, state: Mapping[str, torch.Tensor], affixes: CaptionPrompt | None,
              facts: Mapping[str, Any]) -> Task:
        return make_task(self.base, self.settings.recipe.strategy, state, self.data.classes,
                         self.digest, model_name(self.settings.model), affixes, facts)

    def _keep_and_score(self, task: Task, folder: Path, closed: bool) -> dict[str, Any]:
        """Writes the task file and scores what comes out of it, on the base model."""
        if is_main_process():
            save_task(task, folder / TASK)
        barrier()
        name = self.server.load(read_task(folder / TASK), str(folder))
        scores = {}
        for part in self.parts():
            # A learned prompt has no other words; those are asked of the model without it.
            inside = part != 'held_out' or not closed
            model = self.server.view(name if inside else None)
            scores[part] = self.score(part, folder.name, task.caption_prompt,
                                      folder / part if part != 'held_out' else None, model)
        return scores

    def choose_prompts(self, zero_shot: Mapping[str, Mapping[str, float]]
                       ) -> tuple[list[dict[str, Any]], tuple[Scored, ...]]:
        """The best hand-written prompts on ``val``; nothing trains."""
        settings, start = self.settings, time.monotonic()
        plain = zero_shot['val']['AP']
        tried = search_prompts(
            self.candidates, lambda affixes: self.score(
                'val', f'prompt {affixes}', affixes)['AP'] if affixes else plain)
        best = best_prompts(tried)
        folder = _writable(settings.out / 'seed_0')
        if is_main_process():
            # JSON is YAML, and can hold any class name.
            write_text(settings.out / 'prompts.yaml',
                       json.dumps(best.prompts, ensure_ascii=False, indent=1) + '\n')
        scores = self._keep_and_score(self._task({}, best.prompts or None, {}), folder, False)
        result = dict(seed=0, scores=scores, history=[], train_images=0, train_file='',
                      minutes=(time.monotonic() - start) / 60)
        return [result], tuple(tried)


def _hand_written(settings: TuneSettings, classes: Iterable[str]
                  ) -> tuple[list[Choices], CaptionPrompt | None]:
    """Prompts to choose from, and those to train with where no choice is left."""
    if settings.prompts is None:
        return [], None
    candidates = read_prompts(settings.prompts, list(classes))
    if settings.recipe.strategy['name'] == 'manual':
        return candidates, None
    return candidates, one_prompt(candidates, settings.prompts)


def remembered(path: Path, make: Any) -> Any:
    """What ``make`` gave in an earlier start, or gives now; every process gets the same."""
    if not path.is_file():
        value = make()
        if is_main_process():
            write_text(path, json.dumps(value, indent=1) + '\n')
        barrier()
    return json.loads(path.read_text(encoding='utf-8'))


def _writable(folder: Path) -> Path:
    make_folder(folder)
    return folder


def _copy(source: Path, target: Path) -> None:
    part = target.with_name(target.name + '.part')
    shutil.copyfile(source, part)
    os.replace(part, target)


def _start_processes(device: str) -> None:
    """Joins the processes that torchrun started, if it did; each on a GPU of its own."""
    cuda = device.startswith('cuda')
    if cuda:  # mmengine trains on the current one
        torch.cuda.set_device(check_device(_own_device(device)))
    if 'WORLD_SIZE' in os.environ and not torch.distributed.is_initialized():
        torch.distributed.init_process_group('nccl' if cuda else 'gloo')


def _own_device(device: str) -> str:
    """With several processes each has a GPU of its own."""
    return f'cuda:{os.environ.get("LOCAL_RANK", 0)}' if device == 'cuda' else device


def _silent(*_: object) -> None:
    """The other processes say nothing."""
