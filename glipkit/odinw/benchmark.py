"""The ODinW benchmark: every data set that is there, as it is or tuned, and one scoreboard."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from torch import nn

from glipkit.apis.build import checkpoint_for, load
from glipkit.apis.index import default_model
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.data.formats.read_once import files_read_once
from glipkit.data.splits.odinw import (
    PROFILES,
    OdinwDataset,
    find_dataset,
    odinw_datasets,
    published_scores,
)
from glipkit.data.splits.rf100_vl import RF100, rf100_datasets
from glipkit.errors import UserError
from glipkit.files import no_room, write_text
from glipkit.odinw.scoreboard import Scoreboard, odinw_scoreboard
from glipkit.odinw.scoreboard_files import write_scoreboard
from glipkit.odinw.world_tasks import WORLD, is_world, world_datasets
from glipkit.runs.results import remembered
from glipkit.text.structures import CaptionPrompt
from glipkit.tuning.report import write_report
from glipkit.tuning.run import tune
from glipkit.tuning.settings import AnnotatedImages, TuneSettings, read_recipe
from glipkit.tuning.training import evaluate

ZERO_SHOT = 'zero-shot'
#: Strategy -> its name in the paper.
_PUBLISHED = {ZERO_SHOT: ZERO_SHOT, 'head': 'linear', 'prompt': 'prompt', 'full': 'full'}


@dataclass(frozen=True)
class OdinwSettings:
    """Settings of the benchmark.

    Args:
        root: Folder of the release, which holds 'Aquarium', 'pothole' and so on; or of a world,
            whose kinds of things are then the data sets; or of Roboflow100-VL.
        out: Folder of the results, with a folder per data set.
        profile: '13-paper', '13-yaml', '35', 'rf100-vl' or 'world'; None: 'world' where ``root``
            is one, else '13-paper'.
        strategy: 'zero-shot', or a strategy, see `TuneSettings`.
        model: Model name or config; default that of `default_model`.
        checkpoint: Weights of the model; None takes those of its name.
        shots: Number of examples per class; None takes all.
        seeds: Seeds of tuning, one result each.
        only: Names or titles of data sets; empty for all.
        options: Changes of the recipe.
        device: Device to run on: cpu, cuda, cuda:1.
        workers: Number of processes that read images.
    """
    root: Path
    out: Path
    profile: str | None = None
    strategy: str = ZERO_SHOT
    model: str = field(default_factory=default_model)
    checkpoint: str | None = None
    shots: int | None = None
    seeds: tuple[int, ...] = (3, )
    only: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = 'cpu'
    workers: int = 0


def run_odinw(settings: OdinwSettings) -> tuple[Scoreboard, dict[str, str]]:
    """Scores all data sets that can be scored; the same call again resumes.

    Returns:
        The scoreboard, and title -> reason of the data sets that were left out.

    Raises:
        UserError: Wrong settings, or not one data set that can be scored.
    """
    root = Path(settings.root)
    if not root.is_dir() or not any(root.iterdir()):
        ours = '' if settings.profile == RF100 else ' with glipkit prepare odinw'
        raise UserError('the folder that holds the data sets',
                        f'{root}, {"which is empty" if root.is_dir() else "no folder"}',
                        f'check the path, or unpack the release there{ours}')
    if settings.strategy != ZERO_SHOT:
        read_recipe(settings.strategy, settings.options)
    profile = settings.profile or (WORLD if is_world(root) else '13-paper')
    every = _datasets(profile, settings)
    datasets = [find_dataset(every, name) for name in settings.only] or every
    settings = replace(settings, checkpoint=str(checkpoint_for(settings.model,
                                                               settings.checkpoint)))
    base = None
    if settings.strategy == ZERO_SHOT:
        base = load(settings.model, settings.checkpoint, settings.device)
    scores, skipped = {}, {}
    for dataset in datasets:
        try:
            with files_read_once():
                scores[dataset.name] = _score(dataset, settings, base)
        except UserError as error:  # one broken data set must not cost the others
            if no_room(error) is not None:
                raise  # but a full disk costs all of them
            skipped[dataset.title] = str(error)
    if not scores:
        raise UserError(f'a data set in {settings.root} that can be scored',
                        '; '.join(f'{k}: {v}' for k, v in list(skipped.items())[:1]),
                        'unpack the release there')
    shots = 0 if settings.strategy == ZERO_SHOT else settings.shots
    published = None
    if profile in PROFILES:
        published = published_scores(settings.model, _PUBLISHED.get(settings.strategy, ''), shots)
    board = odinw_scoreboard(profile, scores, published, every)
    if is_main_process():
        write_scoreboard(board, settings.out, skipped)
    return board, skipped


def _datasets(profile: str, settings: OdinwSettings) -> Sequence[OdinwDataset]:
    if profile == WORLD:
        return world_datasets(settings.root, settings.out / 'data')
    if profile == RF100:
        return rf100_datasets(settings.root)
    # Sentences are for models that have seen captions (GLIP section 5.2).
    return odinw_datasets(profile, settings.model not in ('glip-t-a', 'glip-t-b'))


def _score(dataset: OdinwDataset, settings: OdinwSettings, base: nn.Module | None) -> float:
    """AP of one data set; for several seeds their mean."""
    judged = AnnotatedImages(*dataset.find(settings.root, dataset.eval_split))
    classes = list(read_coco_json(judged.ann_file).classes.values())
    dataset.check_classes(classes, judged.ann_file)
    caption_prompt = {name: dict(written) for name, written in dataset.caption_prompt.items()
                      if name in classes}
    folder = settings.out / dataset.name
    if base is None:
        return _tune(dataset, settings, judged, caption_prompt)
    return remembered(folder / 'zero_shot.json', lambda: evaluate(
        base, judged, dataset.title, caption_prompt or None,
        predictions=folder / dataset.eval_split, workers=settings.workers))['AP']


def _tune(dataset: OdinwDataset, settings: OdinwSettings, judged: AnnotatedImages,
          caption_prompt: CaptionPrompt) -> float:
    prompts = None
    if caption_prompt:
        prompts = settings.out / 'prompts' / f'{dataset.name}.yaml'
        if is_main_process():
            write_text(prompts, json.dumps(caption_prompt, ensure_ascii=False, indent=1) + '\n')
    # The official configs choose on the smaller validation set where there is one.
    split = 'minival' if 'minival' in dataset.splits else 'val'
    train, val = (AnnotatedImages(*dataset.find(settings.root, name))
                  if name in dataset.splits else None for name in ('train', split))
    result = tune(TuneSettings(
        data=train, out=settings.out / dataset.name, strategy=settings.strategy,
        model=settings.model, checkpoint=settings.checkpoint, val=val,
        test=None if dataset.eval_split == split else judged, shots=settings.shots,
        seeds=settings.seeds, prompts=prompts, options=settings.options, device=settings.device,
        workers=settings.workers))
    if is_main_process():
        write_report(result)
    return result.mean(result.scored_on)[0]
