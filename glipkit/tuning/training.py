"""One training run of a strategy, and the evaluation before and after it."""
from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import barrier, get_world_size
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from torch import Tensor, nn

from glipkit.apis.arguments import default_threshold
from glipkit.apis.config_parts import place_of, without
from glipkit.checkpoints import read_training_checkpoint
from glipkit.checkpoints.files import read_file
from glipkit.common.reporter import note, track
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.engine.hooks.plateau import BEST, LAST
from glipkit.engine.resuming import is_whole
from glipkit.engine.transfer import apply, build_strategy, describe
from glipkit.errors import UserError
from glipkit.models.contract import GroundingDetector
from glipkit.registry import METRICS, building_in
from glipkit.text.query import Query
from glipkit.text.structures import CaptionPrompt, Prompt
from glipkit.tuning.settings import AnnotatedImages, TuneSettings


def evaluate(model: nn.Module, data: AnnotatedImages, title: str,
             caption_prompt: CaptionPrompt | None = None, query: Query | None = None,
             predictions: Path | None = None, workers: int = 0) -> dict[str, float]:
    """COCO AP of a model in its current state.

    Args:
        model: Detector, not wrapped; the same in all processes.
        data: Images to score on.
        title: Title of the progress bar.
        caption_prompt: Hand-written prompts of the file's classes, where there is no query.
        query: What is asked; None asks for the file's classes.
        predictions: Beginning of the name ``<predictions>.bbox.json`` of a file for COCO results;
            None writes none.
        workers: Number of processes that read images.

    Returns:
        The metrics of GroundingCocoMetric, without their prefix; -1 where there is no ground
        truth.
    """
    loader_cfg = eval_loader(model.cfg, data, query, workers, caption_prompt)
    with building_in():
        loader = Runner.build_dataloader(loader_cfg, seed=0)
        metric = METRICS.build(dict(type='GroundingCocoMetric', ann_file=str(data.ann_file),
                                    outfile_prefix=predictions and str(predictions),
                                    shown_above=default_threshold(model.cfg)))
    evaluator = Evaluator([metric])
    evaluator.dataset_meta = loader.dataset.metainfo
    model.eval()
    for batch in track(loader, title, unit='image'):
        with torch.no_grad():
            samples = model.val_step(batch)
        evaluator.process(data_samples=samples, data_batch=batch)
    scores = evaluator.evaluate(len(loader.dataset))
    return {name.removeprefix('coco/'): value for name, value in scores.items()}


def train(base: GroundingDetector, settings: TuneSettings, query: Query,
          data: AnnotatedImages, val: AnnotatedImages, work_dir: Path, seed: int
          ) -> tuple[dict[str, Tensor], dict[str, Tensor], list[list[float]]]:
    """Trains a copy of a model; resumes at ``work_dir/last.pth`` where there is one.

    Args:
        base: Detector; it is not changed.
        settings: Recipe, shots, replay.
        query: The task's classes and all that goes with them.
        data: Images that this seed learns from.
        val: Images to choose the best weights on.
        work_dir: Folder of this seed.
        seed: Seed of order, augmentation and initialisation.

    Returns:
        State before training, state of the best evaluation, and [iteration, AP, rate] of each
        evaluation.
    """
    recipe, workers = settings.recipe, settings.workers
    strategy = build_strategy(recipe.strategy)
    model, prompts = copy.deepcopy(base), base.prompts(query)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        strategy.add(model, prompts)
    groups = apply(model, strategy)
    before = strategy.state(model)
    note(describe(model, groups))
    # Its weights are loaded; mmengine would initialise some of them again.
    model.is_init = True
    sampled = _sampled_question(base)
    # A sentence encoder reads every class by itself, and so any number of them.
    together = len(prompts) == 1 or not (base.text_encoder.token_features or strategy.closed)
    question = _train_question(prompts, query,
                               together and (strategy.closed or not settings.sample_classes),
                               strategy.closed, sampled)
    loader, iterations = train_loader(base.cfg, settings, data, query.classes, question, sampled)
    schedule = recipe.schedule
    runner = _runner(
        model, work_dir, seed, settings.track,
        train_dataloader=loader,
        train_cfg=dict(type='IterBasedTrainLoop', val_interval=iterations,
                       max_iters=schedule['max_epochs'] * iterations),
        optim_wrapper=dict(
            type='OptimWrapper', constructor='TransferOptimConstructor',
            optimizer=dict(type='AdamW', lr=0.), clip_grad=dict(max_norm=schedule['clip_norm']),
            paramwise_cfg=dict(strategy=recipe.strategy)),
        val_dataloader=eval_loader(base.cfg, val, query, workers),
        val_cfg=dict(type='ValLoop'),
        val_evaluator=dict(type='GroundingCocoMetric', ann_file=str(val.ann_file)),
        custom_hooks=[dict(type='IterSeedHook'), dict(type='ProgressBarHook'),
                      dict(type='PlateauHook', strategy=recipe.strategy,
                           **recipe.patience(settings.shots))])
    runner.train()
    barrier()  # the main process has written both files
    history = read_training_checkpoint(work_dir / LAST)['plateau']['history']
    return before, read_file(work_dir / BEST).state, history


def _runner(model: nn.Module, work_dir: Path, seed: int, trackers: Sequence[str] = (),
            **arguments: Any) -> Runner:
    """A quiet runner that logs to files, and resumes at the last checkpoint."""
    from glipkit.engine.runner import GroundingRunner
    from glipkit.engine.tracking import visualizer
    last = work_dir / LAST
    resume = last.is_file() and is_whole(last)
    cuda = next(model.parameters()).is_cuda
    return GroundingRunner(
        model=model, work_dir=str(work_dir), default_scope='glipkit', log_level='ERROR',
        launcher='pytorch' if 'WORLD_SIZE' in os.environ else 'none',
        experiment_name=f'tune_{os.path.abspath(work_dir)}'.replace(os.sep, '_'),
        randomness=dict(seed=seed), load_from=str(last) if resume else None, resume=resume,
        cfg=Config(dict(model=model.cfg.model, optim_wrapper=arguments['optim_wrapper'])),
        env_cfg=dict(dist_cfg=dict(backend='nccl' if cuda else 'gloo')),
        log_processor=dict(type='LogProcessor', window_size=10, by_epoch=False),
        visualizer=visualizer(trackers, work_dir.parent, work_dir.name) if trackers else None,
        default_hooks=dict(checkpoint=None, param_scheduler=None,
                           logger=dict(type='LoggerHook', interval=1,
                                       log_metric_by_epoch=False)), **arguments)


def train_loader(cfg: Config, settings: TuneSettings, data: AnnotatedImages,
                 classes: Sequence[str], question: Mapping[str, Any],
                 sampled: Mapping[str, Any]) -> tuple[dict, int]:
    """Config of the training images, and the iterations of one pass over the task's own.

    Args:
        cfg: Config of the model.
        settings: Recipe, shots, replay.
        data: Images to learn from.
        classes: Names of the classes, in the order of their labels.
        question: Transform that decides what an image is asked.
        sampled: The same for replayed images, whose classes are not the task's.
    """
    recipe, workers = settings.recipe, settings.workers
    images = read_coco_json(data.ann_file)
    copies = recipe.copies(settings.shots)
    own = _dataset(data, _train_pipeline(cfg, question), classes, workers)
    mixed: dict[str, Any] = dict(type='MixedDataset', datasets=[own], copies=[copies])
    draws = len(images.images) * copies
    if settings.replay is not None:
        other = _dataset(settings.replay, _train_pipeline(cfg, sampled), None, workers)
        share = settings.replay_share
        mixed = dict(type='MixedDataset', datasets=[own, other], weights=[1 - share, share])
        draws = draws / (1 - share)
    batch = max(1, recipe.schedule['batch_size'] // get_world_size())
    loader = dict(batch_size=batch, num_workers=workers, persistent_workers=workers > 0,
                  sampler=dict(type='DrawSampler'), dataset=mixed)
    return loader, max(1, math.ceil(draws / (batch * get_world_size())))


def eval_loader(cfg: Config, data: AnnotatedImages, query: Query | None, workers: int,
                caption_prompt: CaptionPrompt | None = None) -> dict:
    """Config of images to score, one by one: padding changes what a model finds."""
    question = dict(caption_prompt=caption_prompt) if query is None else dict(query=query.plain)
    steps = _asking(without(_plain(cfg.test_pipeline), 'LoadAnnotations'),
                    dict(type='AskClasses', **question))
    classes = None if query is None else query.classes
    return dict(batch_size=1, num_workers=workers, persistent_workers=workers > 0,
                drop_last=False, sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=_dataset(data, steps, classes, workers, test_mode=True))


def _dataset(data: AnnotatedImages, pipeline: list, classes: Sequence[str] | None, workers: int,
             **more: Any) -> dict:
    # Serialising saves memory where worker processes share the samples, and takes a second.
    more['serialize_data'] = workers > 0
    kind = 'OdvgGrounding' if data.ann_file.suffix == '.jsonl' else 'CocoDetection'
    metainfo = {} if classes is None else dict(metainfo=dict(classes=list(classes)))
    return dict(type=kind, ann_file=str(data.ann_file.resolve()), pipeline=pipeline,
                data_prefix=dict(img=str(data.images.resolve())), **metainfo, **more)


def _train_question(prompts: Sequence[Prompt], query: Query, whole: bool, closed: bool,
                    sampled: Mapping[str, Any]) -> dict[str, Any]:
    """The transform that sets the query of a training image.

    As in the official fine-tuning it asks for all classes in their order, if one prompt holds them.
    """
    if whole:
        return dict(type='AskClasses', query=query.plain)
    if closed:
        return dict(type='AskClasses', prompts=[list(p.names) for p in prompts], query=query.plain)
    if query.caption_prompt or query.synonyms or query.negatives:
        raise UserError('hand-written prompts, other names and negatives that fit one prompt '
                        'together', f'{len(prompts)} prompts',
                        'use the strategy prompt, or shorten them')
    return dict(sampled)


def _train_pipeline(cfg: Config, question: Mapping[str, Any]) -> list:
    """The model's training pipeline with another query; its test pipeline where it has none."""
    if 'train_pipeline' in cfg:
        return _asking(without(_plain(cfg.train_pipeline), 'SampleClassPrompt'), question)
    steps = without(_plain(cfg.test_pipeline), 'LoadAnnotations')
    steps.insert(place_of(steps, 'LoadImage', 'test_pipeline') + 1,
                 dict(type='mmdet.LoadAnnotations', with_bbox=True))
    return _asking(_before_packing(steps, dict(type='mmdet.RandomFlip', prob=0.5)), question)


def _asking(steps: Sequence[Mapping[str, Any]], question: Mapping[str, Any]) -> list:
    """The steps of a pipeline with the transform that sets the query of an image."""
    return _before_packing(steps, dict(question))


def _before_packing(steps: Sequence[Mapping[str, Any]], step: Mapping[str, Any]) -> list:
    place = place_of(steps, 'Pack', 'a pipeline')
    return [*steps[:place], step, *steps[place:]]


def _plain(steps: Sequence[Mapping[str, Any]]) -> list:
    """A copy of a pipeline, as plain dictionaries."""
    return Config(dict(steps=list(steps))).to_dict()['steps']


def _sampled_question(model: GroundingDetector) -> dict[str, Any]:
    """The transform that asks for some of the classes, as many as the model's prompts hold."""
    tokenizer = model.text_encoder.tokenizer
    return dict(type='SampleClassPrompt', tokenizer=dict(tokenizer.config),
                max_tokens=model.prompt_budget - tokenizer.special_tokens)
