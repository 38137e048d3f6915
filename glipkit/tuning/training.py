"""One training run of a strategy, and the evaluation that stands before and after it."""
from __future__ import annotations

import copy
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import barrier, get_world_size, is_main_process
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from torch import Tensor, nn
from tqdm import tqdm

from glipkit.checkpoints import read_training_checkpoint
from glipkit.checkpoints.files import read_file
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.engine.hooks.plateau import BEST, LAST
from glipkit.engine.transfer import apply, build_strategy, describe
from glipkit.errors import UserError
from glipkit.registry import METRICS, building_in
from glipkit.text.structures import CaptionPrompt, Prompt
from glipkit.tuning.settings import Part, TuneSettings


def evaluate(model: nn.Module, part: Part, what: str, caption_prompt: CaptionPrompt | None = None,
             classes: Sequence[str] | None = None, predictions: Path | None = None,
             workers: int = 0) -> dict[str, float]:
    """COCO AP of a model as it is now.

    Args:
        model: The detector, not wrapped; all processes have the same.
        part: What to score on.
        what: For the progress bar.
        caption_prompt: Hand-written prompts.
        classes: In the order to ask for them; None takes the file's.
        predictions: Write COCO results to ``<predictions>.bbox.json``.
        workers: Processes that read images.

    Returns:
        AP, AP50, AP75, APs, APm, APl from 0 to 1; -1 where there is nothing to find.
    """
    loader_cfg = eval_loader(model.cfg, part, caption_prompt, classes, workers)
    with building_in():
        loader = Runner.build_dataloader(loader_cfg, seed=0)
        metric = METRICS.build(dict(type='GroundingCocoMetric', ann_file=str(part.ann_file),
                                    outfile_prefix=predictions and str(predictions)))
    evaluator = Evaluator([metric])
    evaluator.dataset_meta = loader.dataset.metainfo
    model.eval()
    bar = tqdm(loader, desc=what, unit='image', file=sys.stderr, leave=False,
               disable=None if is_main_process() else True)
    for batch in bar:
        with torch.no_grad():
            samples = model.val_step(batch)
        evaluator.process(data_samples=samples, data_batch=batch)
    scores = evaluator.evaluate(len(loader.dataset))
    return {name.removeprefix('coco/'): value for name, value in scores.items()}


def train(base: nn.Module, settings: TuneSettings, prompts: Sequence[Prompt], data: Part,
          val: Part, work_dir: Path, seed: int, caption_prompt: CaptionPrompt | None = None
          ) -> tuple[dict[str, Tensor], dict[str, Tensor], list[list[float]]]:
    """Trains a copy of a model; goes on from ``work_dir/last.pth`` where there is one.

    Args:
        base: The detector, left as it is.
        settings: Recipe, shots, replay.
        prompts: All prompts of the task.
        data: What this seed learns from.
        val: What to choose the best weights on.
        work_dir: Of this seed.
        seed: Of order, augmentation and initialisation.
        caption_prompt: Hand-written prompts.

    Returns:
        State before training, state of the best evaluation, and per evaluation [iteration, AP,
        rate].
    """
    recipe, workers = settings.recipe, settings.workers
    strategy = build_strategy(recipe.strategy)
    model = copy.deepcopy(base)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        strategy.add(model, prompts)
    groups = apply(model, strategy)
    before = strategy.state(model)
    if is_main_process():
        print(describe(model, groups), flush=True)
    # Its weights are loaded; mmengine would draw some of them anew.
    model.is_init = True
    ask = _train_words(prompts, caption_prompt, strategy.closed or not settings.sample_classes,
                       strategy.closed, _budget(base.cfg))
    loader, iterations = train_loader(base.cfg, settings, data, ask)
    schedule = recipe.schedule
    runner = _runner(
        model, work_dir, seed,
        train_dataloader=loader,
        train_cfg=dict(type='IterBasedTrainLoop', val_interval=iterations,
                       max_iters=schedule['max_epochs'] * iterations),
        optim_wrapper=dict(
            type='OptimWrapper', constructor='TransferOptimConstructor',
            optimizer=dict(type='AdamW', lr=0.), clip_grad=dict(max_norm=schedule['clip_norm']),
            paramwise_cfg=dict(strategy=recipe.strategy)),
        val_dataloader=eval_loader(base.cfg, val, caption_prompt,
                                   [name for p in prompts for name in p.names], workers),
        val_cfg=dict(type='ValLoop'),
        val_evaluator=dict(type='GroundingCocoMetric', ann_file=str(val.ann_file)),
        custom_hooks=[dict(type='IterSeedHook'), dict(type='ProgressBarHook'),
                      dict(type='PlateauHook', strategy=recipe.strategy,
                           **recipe.patience(settings.shots))])
    runner.train()
    barrier()  # the main process has written both files
    history = read_training_checkpoint(work_dir / LAST)['plateau']['history']
    return before, read_file(work_dir / BEST).state, history


def _runner(model: nn.Module, work_dir: Path, seed: int, **parts: Any) -> Runner:
    """A quiet runner that logs to files, and goes on where the last one was stopped."""
    from glipkit.engine.runner import GroundingRunner
    last = work_dir / LAST
    cuda = next(model.parameters()).is_cuda
    return GroundingRunner(
        model=model, work_dir=str(work_dir), default_scope='glipkit', log_level='ERROR',
        launcher='pytorch' if 'WORLD_SIZE' in os.environ else 'none',
        experiment_name=f'tune_{os.path.abspath(work_dir)}'.replace(os.sep, '_'),
        randomness=dict(seed=seed), load_from=str(last) if last.is_file() else None,
        resume=last.is_file(),
        cfg=Config(dict(model=model.cfg.model, optim_wrapper=parts['optim_wrapper'])),
        env_cfg=dict(dist_cfg=dict(backend='nccl' if cuda else 'gloo')),
        log_processor=dict(type='LogProcessor', window_size=10, by_epoch=False),
        default_hooks=dict(checkpoint=None, param_scheduler=None,
                           logger=dict(type='LoggerHook', interval=1)), **parts)


def train_loader(cfg: Config, settings: TuneSettings, data: Part,
                 ask: Mapping[str, Any]) -> tuple[dict, int]:
    """Config of the training images, and the iterations of one pass over the task's own."""
    recipe, workers = settings.recipe, settings.workers
    images = read_coco_json(data.ann_file)
    copies = recipe.copies(settings.shots)
    own = _dataset(data, _train_pipeline(cfg, ask), list(images.classes.values()), workers)
    mixed: dict[str, Any] = dict(type='MixedDataset', datasets=[own], copies=[copies])
    draws = len(images.images) * copies
    if settings.replay is not None:
        words = dict(type='SampleClassPrompt', max_tokens=_budget(cfg) - 2)
        other = _dataset(settings.replay, _train_pipeline(cfg, words), None, workers)
        share = settings.replay_share
        mixed = dict(type='MixedDataset', datasets=[own, other], weights=[1 - share, share])
        draws = draws / (1 - share)
    batch = max(1, recipe.schedule['batch_size'] // get_world_size())
    loader = dict(batch_size=batch, num_workers=workers, persistent_workers=workers > 0,
                  sampler=dict(type='DrawSampler'), dataset=mixed)
    return loader, max(1, math.ceil(draws / (batch * get_world_size())))


def eval_loader(cfg: Config, part: Part, caption_prompt: CaptionPrompt | None,
                classes: Sequence[str] | None, workers: int) -> dict:
    """Config of images to score, one by one: padding changes what a model finds."""
    steps = _with_words(_plain(cfg.test_pipeline, ('LoadAnnotations', )),
                        dict(type='AskClasses', caption_prompt=caption_prompt))
    return dict(batch_size=1, num_workers=workers, persistent_workers=workers > 0,
                drop_last=False, sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=_dataset(part, steps, classes, workers, test_mode=True))


def _dataset(part: Part, pipeline: list, classes: Sequence[str] | None, workers: int,
             **more: Any) -> dict:
    # Serialising saves memory where worker processes share the samples, and takes a second.
    more['serialize_data'] = workers > 0
    kind = 'OdvgGrounding' if part.ann_file.suffix == '.jsonl' else 'CocoDetection'
    metainfo = {} if classes is None else dict(metainfo=dict(classes=list(classes)))
    return dict(type=kind, ann_file=str(part.ann_file.resolve()), pipeline=pipeline,
                data_prefix=dict(img=str(part.images.resolve())), **metainfo, **more)


def _train_words(prompts: Sequence[Prompt], caption_prompt: CaptionPrompt | None, whole: bool,
                 closed: bool, budget: int) -> dict[str, Any]:
    """The transform that says what a training image is asked.

    As in the official fine-tuning all classes in their order, where they go into one prompt.
    """
    if closed or (len(prompts) == 1 and whole):
        return dict(type='AskClasses', prompts=[list(p.names) for p in prompts],
                    caption_prompt=caption_prompt)
    if caption_prompt:
        raise UserError('hand-written prompts that fit one prompt together',
                        f'{len(prompts)} prompts', 'use the strategy prompt, or shorten them')
    return dict(type='SampleClassPrompt', max_tokens=budget - 2)


def _train_pipeline(cfg: Config, words: Mapping[str, Any]) -> list:
    """The model's own training pipeline, asked otherwise; its test pipeline where it has none."""
    if 'train_pipeline' in cfg:
        return _with_words(_plain(cfg.train_pipeline, ('SampleClassPrompt', )), words)
    steps = _plain(cfg.test_pipeline, ('LoadAnnotations', ))
    steps[1:1] = [dict(type='mmdet.LoadAnnotations', with_bbox=True)]
    steps[-1:-1] = [dict(type='mmdet.RandomFlip', prob=0.5)]
    return _with_words(steps, words)


def _with_words(steps: list, words: Mapping[str, Any]) -> list:
    """The steps with one more before the packing at their end."""
    return [*steps[:-1], dict(words), steps[-1]]


def _plain(steps: Sequence[Mapping[str, Any]], without: tuple[str, ...]) -> list:
    steps = Config(dict(steps=list(steps))).to_dict()['steps']
    return [step for step in steps if not step['type'].endswith(without)]


def _budget(cfg: Config) -> int:
    model = cfg.model
    return model.get('test_cfg', {}).get('max_tokens') or model.get('max_tokens', 256)
