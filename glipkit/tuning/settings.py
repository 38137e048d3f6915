"""The settings of a tuning run, and its recipe."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config

from glipkit.apis.data_sets import AnnotatedImages
from glipkit.apis.index import default_model
from glipkit.apis.options import check_options
from glipkit.common.digests import file_sha256
from glipkit.common.paths import config_root
from glipkit.engine.transfer import STRATEGIES, build_strategy
from glipkit.errors import UserError


@dataclass(frozen=True)
class TuneSettings:
    """A tuning run.

    Args:
        data: Images to learn from.
        out: Folder of the run.
        strategy: Name of a strategy, or the path of a config like those in ``configs/transfer``.
        model: Model name or config; default that of `default_model`.
        checkpoint: Weights of the model, or ``'random'``; None takes those of the model's name,
            which are fetched on first use.
        val: Images to choose the best weights on; None sets some of ``data`` aside.
        test: Images to score the result on; None takes ``val``.
        held_out: Images of another task, to measure what is forgotten.
        replay: Other images to mix in.
        replay_share: Share of these in the training images.
        shots: Number of examples per class; None takes all.
        seeds: Seeds of draws, order and initialisation; one result each.
        prompts: YAML file of hand-written prompts.
        query: Query file, whose other names, negatives and exclusive groups go with the classes of
            the data.
        interpolate: Place between the base model (0) and the tuned one (1).
        sample_classes: Whether to train with random selections of the class list, in random order.
        options: Changes of the recipe, e.g. ``{'strategy.lr': 0.01}``.
        device: Device to run on: cpu, cuda, cuda:1.
        workers: Number of processes that read images.
        track: Trackers that get the curves, see :mod:`glipkit.engine.tracking`.
    """
    data: AnnotatedImages
    out: Path
    strategy: str = 'prompt'
    model: str = field(default_factory=default_model)
    checkpoint: str | None = None
    val: AnnotatedImages | None = None
    test: AnnotatedImages | None = None
    held_out: AnnotatedImages | None = None
    replay: AnnotatedImages | None = None
    replay_share: float = 0.5
    shots: int | None = None
    seeds: tuple[int, ...] = (3, )
    prompts: Path | None = None
    query: Path | None = None
    interpolate: float = 1.
    sample_classes: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = 'cpu'
    workers: int = 0
    track: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuses settings that cannot be used.

        Raises:
            UserError: A number outside its range, settings that exclude each other, or a tracker
                that is not installed.
        """
        closed = STRATEGIES[self.recipe.strategy['name']].closed
        nothing_trains = self.recipe.strategy['name'] == 'manual'
        rules = [
            (self.workers >= 0, 'at least 0 --workers', self.workers,
             'leave it out, or pass e.g. 2'),
            (0 <= self.interpolate <= 1, 'a number from 0 to 1 for --interpolate',
             self.interpolate, 'pass e.g. 0.5'),
            (0 < self.replay_share < 1, 'a share between 0 and 1 for --replay-share',
             self.replay_share, 'pass e.g. 0.5'),
            (self.shots is None or self.shots > 0, 'at least 1 shot', self.shots,
             'pass e.g. --shots 5, or leave it out to use all images'),
            (len(self.seeds) > 0 and len(set(self.seeds)) == len(self.seeds)
             and min(self.seeds, default=-1) >= 0, 'different seeds of at least 0', self.seeds,
             'pass e.g. --seeds 3,30,300'),
            (not (self.replay and (closed or nothing_trains)),
             'a strategy that changes the model, for --replay', self.strategy,
             'leave --replay out: this one forgets nothing'),
            (not (self.sample_classes and closed), 'another strategy for --sample-classes',
             self.strategy, 'leave it out: a learned prompt has one order'),
            (not (self.sample_classes and self.prompts), '--sample-classes or --prompts', 'both',
             'leave one of them out'),
            (not (self.sample_classes and self.query), '--sample-classes or --query', 'both',
             'leave one of them out'),
            (not nothing_trains or self.prompts is not None or self.query is not None,
             'a file of prompts (--prompts) or a query (--query) for the strategy manual', 'none',
             'write one; docs/transfer.md and docs/queries.md show how'),
        ]
        for holds, expected, got, fix in rules:
            if not holds:
                raise UserError(expected, str(got), fix)
        if self.track:
            from glipkit.engine.tracking import check_trackers
            check_trackers(self.track)

    @cached_property
    def recipe(self) -> Recipe:
        """Strategy and schedule, with the changes of ``options``."""
        return read_recipe(self.strategy, self.options)

    def identity(self, base: str) -> dict[str, Any]:
        """Everything that the results depend on, with which the folder is claimed.

        Args:
            base: Fingerprint of the model.
        """
        known = dict(asdict(self), recipe=asdict(self.recipe), base=base)
        for key in ('out', 'device', 'workers', 'track'):  # a run may be resumed elsewhere
            del known[key]
        if self.query is None:  # a folder of an older version, which knew none, is resumed
            del known['query']
        sets = (self.data, self.val, self.test, self.held_out, self.replay)
        files = [one.ann_file for one in sets if one] + [
            path for path in (self.prompts, self.query) if path]
        known['files'] = {str(path): file_sha256(path) for path in files}
        return known


@dataclass(frozen=True)
class Recipe:
    """A strategy and its schedule.

    Args:
        strategy: Name and settings, for `build_strategy`.
        schedule: max_epochs, batch_size (of all processes), clip_norm, copies, and the patience
            of few-shot and of all-data runs.
    """
    strategy: dict[str, Any]
    schedule: dict[str, Any]

    def copies(self, shots: int | None) -> int:
        """Number of times that an image is in one epoch."""
        fitting = [copies for least, copies in self.schedule['copies'] if (shots or 1e9) <= least]
        return fitting[0] if fitting else 1

    def patience(self, shots: int | None) -> dict[str, int]:
        """step_patience and stop_patience."""
        return dict(self.schedule['few_shot' if shots else 'all_data'])


def read_recipe(name_or_path: str, options: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a strategy's name or config file.

    Raises:
        UserError: No such strategy or file, or an unknown setting.
    """
    path = Path(name_or_path)
    if path.suffix != '.py':
        path = config_root() / 'transfer' / f'{name_or_path}.py'
    if not path.is_file():
        raise UserError(f'a strategy ({", ".join(sorted(STRATEGIES))}) or a config file',
                        repr(str(name_or_path)), 'choose one of these, or check the path')
    cfg = Config.fromfile(path)
    if set(cfg.keys()) != {'strategy', 'schedule'}:
        raise UserError('a config with strategy and schedule', f'{path}: {sorted(cfg.keys())}',
                        'write it like configs/transfer/prompt.py')
    for key in options or ():
        group, _, leaf = key.partition('.')
        if group not in ('strategy', 'schedule') or (group == 'schedule'
                                                     and leaf.split('.')[0] not in cfg.schedule):
            raise UserError('settings such as strategy.lr or schedule.max_epochs', repr(key),
                            'check its spelling')
    check_options(cfg.to_dict(), options or {})
    cfg.merge_from_dict(dict(options or {}))
    recipe = Recipe(cfg.strategy.to_dict(), cfg.schedule.to_dict())
    build_strategy(recipe.strategy)
    return recipe
