"""Train and test from a config, as mmdet's tools do, with errors a user can act on."""
from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook

from glipkit.apis.build import SUFFIXES, checkpoint_for, config_errors, find_config, read_config
from glipkit.apis.config_parts import place_of, type_name
from glipkit.apis.data_sets import one_part
from glipkit.apis.loops import check_for_training, for_test
from glipkit.apis.options import check_options
from glipkit.apis.weights import RANDOM
from glipkit.common.paths import config_root, packaged
from glipkit.common.reporter import note
from glipkit.data.formats.box_sets.hub_data import PREFIX
from glipkit.errors import UserError
from glipkit.files import check_folder, make_folder, remove_unfinished
from glipkit.text.query import Query

# What something reads from the top level of a config; everything else there is the config's own
# variable, which may have any name but one that looks like a misspelling of these.
RUNNER_KEYS = ('activation_checkpointing', 'auto_scale_lr', 'compile', 'custom_hooks',
               'custom_imports', 'data_preprocessor', 'default_hooks', 'default_scope',
               'efficient_conv_bn_eval', 'env_cfg', 'experiment_name', 'find_unused_parameters',
               'launcher', 'load_from', 'log_level', 'log_processor', 'model', 'model_wrapper_cfg',
               'optim_wrapper', 'param_scheduler', 'randomness', 'resume', 'runner_type',
               'shown_above', 'sync_bn', 'test_cfg', 'test_dataloader', 'test_evaluator',
               'test_pipeline', 'train_cfg', 'train_dataloader', 'train_pipeline', 'tta_model',
               'tta_pipeline', 'val_cfg', 'val_dataloader', 'val_evaluator', 'val_pipeline',
               'vis_backends', 'visualizer', 'work_dir')


def load_config(name_or_path: str, options: Mapping[str, Any] | None = None,
                work_dir: str | None = None, test_data: str | None = None,
                box_format: str = 'xywh') -> Config:
    """Read a config by name or path, apply overrides and check its top-level keys.

    Args:
        name_or_path: Model name, such as ``glip-mini``, or path of a config.
        options: Overrides (``--cfg-options``), dotted key -> value.
        work_dir: Folder of logs and checkpoints; default ``work_dirs/<config stem>``.
        test_data: Another data set to test on, see :func:`set_test_data`.
        box_format: For a data set of Hugging Face, see there.

    Raises:
        UserError: Unknown config, a key that looks misspelt, or an override of an unknown key.
    """
    path = find_config(name_or_path)
    cfg = read_config(path)
    if test_data is not None:
        set_test_data(cfg, test_data, box_format)
    for key in options or ():
        top = key.split('.')[0]
        if top not in cfg and top not in RUNNER_KEYS:
            raise _unknown_key(top, sorted({*cfg.keys(), *RUNNER_KEYS}))
    check_options(cfg.to_dict(), options or {})
    cfg.merge_from_dict(dict(options or {}))
    for key in cfg:
        if key not in RUNNER_KEYS and not _is_variable(key, cfg.text) \
                and difflib.get_close_matches(key, RUNNER_KEYS, 1, 0.85):
            raise _unknown_key(key, RUNNER_KEYS)
    cfg.work_dir = work_dir or cfg.get('work_dir') or f'work_dirs/{Path(path).stem}'
    return cfg


def _is_variable(key: str, text: str) -> bool:
    """Whether a key is a name of the user's own: longer than one of the runner's by a word or a
    number, or used somewhere in the text of the config."""
    affix = any(re.fullmatch(rf'{known}_?\d+|{known}_\w+|\w+_{known}', key)
                for known in RUNNER_KEYS)
    return affix or re.search(rf'(?<![\w\'"]){key}\b(?!\s*=(?!=))', text) is not None


def _unknown_key(key: str, known: Any) -> UserError:
    close = difflib.get_close_matches(key, known, 3, 0.6)
    fix = f'did you mean {" or ".join(close)}?' if close else 'remove it or check its spelling'
    return UserError('config keys that something reads', f'unknown key {key!r}', fix)


def set_test_data(cfg: Config, name_or_path: str, box_format: str = 'xywh') -> None:
    """Test on another data set, through the config's own test pipeline.

    Args:
        cfg: Config, changed in place.
        name_or_path: A file of ``configs/_base_/datasets`` by its name (``lvis_minival``), or the
            path of one like these: ``test_dataloader`` with a dataset, ``test_evaluator``, and
            optionally ``test_settings``, which go into ``model.test_cfg``. Or a data set as
            `data_sets.open_data` takes it, whose part for tests, else for validation, is scored.
            A transform of its pipeline that the config's ``data_sizes`` names, as in
            ``dict(LongSideResize=896)``, has that ``size``.
        box_format: For data sets of Hugging Face: xywh, xyxy or yolo.

    Raises:
        UserError: The file does not exist, or is not of this kind.
    """
    path = Path(name_or_path)
    folder = config_root() / '_base_' / 'datasets'
    if path.suffix not in SUFFIXES and (folder / f'{name_or_path}.py').is_file():
        path = folder / f'{name_or_path}.py'
    if path.suffix not in SUFFIXES and (path.exists() or name_or_path.startswith(PREFIX)):
        data = _test_config(name_or_path, box_format)
    elif not path.is_file():
        known = ', '.join(sorted(p.stem for p in folder.glob('*.py') if p.stem != 'pipelines'))
        raise UserError(f'a data set ({known}), the path of its config, or a folder of data',
                        repr(name_or_path), 'choose one of these')
    else:
        data = _data_config(path)
    if not isinstance(data.get('test_dataloader', {}).get('dataset'), dict) \
            or 'test_evaluator' not in data:
        raise UserError('a data set config with test_dataloader and test_evaluator', str(path),
                        'add what is missing')
    own = cfg.get('test_dataloader', {}).get('dataset', {}).get('pipeline')
    if own is None:
        raise UserError('a config with a test set, whose pipeline is used', 'none in it',
                        'test another config')
    dataset = {'pipeline': own, **data.test_dataloader.dataset}
    dataset['pipeline'] = _in_sizes(dataset['pipeline'], cfg.get('data_sizes', {}))
    cfg.test_dataloader = {**cfg.test_dataloader, **data.test_dataloader, 'dataset': dataset}
    cfg.test_evaluator = data.test_evaluator
    cfg.merge_from_dict({'model.test_cfg': dict(data.get('test_settings', {}))})


def ask_in_test(cfg: Config, query: Query) -> None:
    """Makes a test ask a query instead of the class names of its data.

    Args:
        cfg: Config, changed in place.
        query: Some or all of the classes of the data, and what goes with them.

    Raises:
        UserError: A config without a test set, or whose pipeline packs nothing.
    """
    dataset = cfg.get('test_dataloader', {}).get('dataset', {})
    steps = list(dataset.get('pipeline') or ())
    place = place_of(steps, 'Pack', 'a test pipeline')
    dataset['pipeline'] = [*steps[:place], dict(type='glipkit.AskClasses', query=query.plain),
                           *steps[place:]]


def _data_config(path: Path) -> Config:
    try:
        return Config.fromfile(path)
    except Exception as error:  # a config is Python: any exception may come out of it
        raise UserError('a config that mmengine can read', f'{path} ({type(error).__name__})',
                        'correct the config') from error


def _test_config(path: str, box_format: str) -> Config:
    """The config that scores boxes of a data set in any layout."""
    part = one_part(path, ('test', 'val'), box_format, need_boxes=True)
    dataset = dict(type='glipkit.CocoDetection', ann_file=str(part.ann_file.absolute()),
                   data_prefix=dict(img=str(part.images.absolute())), test_mode=True)
    return Config(dict(
        test_dataloader=dict(dataset=dataset),
        test_evaluator=dict(type='glipkit.GroundingCocoMetric', ann_file=dataset['ann_file'])))


def _in_sizes(pipeline: Sequence[Mapping[str, Any]], sizes: Mapping[str, int]) -> list:
    """A pipeline whose transforms have the sizes that their type (without scope) is given."""
    return [{**step, 'size': sizes[type_name(step)]} if type_name(step) in sizes else step
            for step in pipeline]


def move_data(cfg: Config, old: str, new: str) -> None:
    """Replace a folder at the start of every path of a config.

    Args:
        cfg: Config, changed in place.
        old: Folder as the config writes it, with its slash, e.g. ``data/shapes/``.
        new: Folder to read instead, with its slash.
    """

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(moved(item) for item in value)
        if isinstance(value, str) and value.startswith(old):
            return new + value[len(old):]
        return value

    for key in list(cfg):
        cfg[key] = moved(cfg[key])


def set_max_iters(cfg: Config, iters: int) -> None:
    """Stretch an iteration-based schedule: length, evaluations and learning rates together.

    Args:
        cfg: Config, changed in place.
        iters: New number of iterations.
    """
    ratio = iters / cfg.train_cfg.max_iters
    stretch = lambda value: max(1, round(value * ratio))  # noqa: E731
    cfg.train_cfg.max_iters = iters
    if 'val_interval' in cfg.train_cfg:  # else nothing is validated
        cfg.train_cfg.val_interval = stretch(cfg.train_cfg.val_interval)
    for scheduler in cfg.param_scheduler:
        for key in ('begin', 'end'):
            if scheduler.get(key):
                scheduler[key] = stretch(scheduler[key])
        if 'milestones' in scheduler:
            scheduler['milestones'] = [stretch(m) for m in scheduler['milestones']]
    # A training of one or two iterations has no room for all of them.
    cfg.param_scheduler = [s for s in cfg.param_scheduler
                           if s.get('end') is None or s.get('begin', 0) < s['end']]


def build_runner(cfg: Config):
    """Build the runner of a config; what it trains and tests on is built on first use.

    Raises:
        UserError: The work dir cannot be made or written to.
    """
    from glipkit.engine.runner import GroundingRunner
    cfg.setdefault('launcher', 'none')
    make_folder(cfg.work_dir)
    if not os.access(cfg.work_dir, os.W_OK | os.X_OK):
        raise UserError('a work dir that can be written to', str(cfg.work_dir),
                        'pass another place with --work-dir')
    return GroundingRunner.from_cfg(cfg)


def train(cfg: Config, resume: str | bool = False, amp: bool = False,
          track: Sequence[str] = (), save_memory: bool = False) -> Any:
    """Train; returns the trained model.

    Args:
        cfg: From :func:`load_config`.
        resume: True resumes from the newest checkpoint of the work directory that is whole, a path
            from there.
        amp: Forward pass in bfloat16 autocast.
        track: Trackers that get the curves, see :mod:`glipkit.engine.tracking`.
        save_memory: Keep less of AdamW's state, see :mod:`glipkit.engine.optim.saving`.

    Raises:
        UserError: A config without training settings or with a part of what validates, a
            checkpoint that is not there, data that cannot be trained on, bfloat16 on a processor
            that is slower at it, or a tracker that is not installed.
    """
    check_for_training(cfg)
    if amp:
        from mmengine.device import get_device

        from glipkit.common.precision import require_bfloat16
        require_bfloat16('--amp', get_device())  # before the data is read
        cfg.optim_wrapper.type = 'AutocastOptimWrapper'
    if save_memory:
        from glipkit.engine.optim import saving
        cfg.optim_wrapper, remark = saving.save_memory(
            cfg.optim_wrapper, cfg.get('launcher', 'none') == 'none')
        note(remark)
    if track:
        from glipkit.engine.tracking import visualizer
        cfg.visualizer = visualizer(track, cfg.work_dir, 'train', cfg.get('visualizer'))
    if resume:
        cfg.resume = True
        cfg.load_from = resume if isinstance(resume, str) else None
    if cfg.get('load_from'):
        cfg.load_from = str(packaged(cfg.load_from))
    if cfg.get('load_from') and not Path(cfg.load_from).is_file():
        raise UserError('an existing checkpoint', str(cfg.load_from), 'check the path')
    from glipkit.apis.checking import check_training_data, check_validation_data
    _prepare_folder(cfg)
    with config_errors():
        runner = build_runner(cfg)
        check_training_data(cfg, runner.logger)
        check_validation_data(cfg)
        return runner.train()


def _prepare_folder(cfg: Config) -> None:
    """Clears what kills have left in the work directory, and finds where to resume."""
    from glipkit.engine.resuming import newest_checkpoint
    if not cfg.get('work_dir'):
        return
    remove_unfinished(Path(cfg.work_dir))
    if cfg.get('resume') and not cfg.get('load_from'):
        newest = newest_checkpoint(cfg.work_dir)
        # mmengine would trust last_checkpoint again.
        cfg.resume, cfg.load_from = newest is not None, newest and str(newest)


def test(cfg: Config, checkpoint: str | None = None, out: str | None = None,
         hooks: Sequence[Hook] = ()) -> dict[str, float]:
    """Evaluate a checkpoint of any layout on the config's test set.

    Args:
        cfg: Config, from :func:`load_config`.
        checkpoint: Path or hub name, in any layout of the model's family; or ``'random'``. None
            takes the weights of the config's name, see :func:`~.build.checkpoint_for`.
        out: File or folder of the result, see :func:`glipkit.apis.results.result_files`.
        hooks: What else sees the test's samples.
    """
    from mmengine.dist import is_main_process

    from glipkit.apis.results import TestResult, installed, result_files, write_result
    from glipkit.checkpoints.loading import load_checkpoint
    if out:
        check_folder(result_files(out)[0].parent)  # what cannot be written is better known now
    cfg = for_test(cfg)
    cfg.load_from = None
    checkpoint = checkpoint_for(cfg.filename, checkpoint)
    with config_errors():
        runner = build_runner(cfg)
        if checkpoint != RANDOM:
            report = load_checkpoint(getattr(runner.model, 'module', runner.model), checkpoint)
            runner.logger.info(f'Loaded {report}')
        for hook in hooks:
            runner.register_hook(hook)
        metrics = runner.test()
    if out and is_main_process():
        loop = runner.test_loop
        write_result(
            TestResult(metrics=metrics, protocol=_protocol(loop.evaluator.metrics),
                       config=str(cfg.filename), checkpoint=str(checkpoint),
                       dataset=_describe_dataset(cfg, len(loop.dataloader.dataset)),
                       versions=installed()), out)
    return metrics


def _protocol(metrics: Sequence[Any]) -> str:
    """Protocol of each metric, a line each; metrics of other libraries give their class."""
    return '\n'.join(getattr(metric, 'protocol', None) or type(metric).__name__
                     for metric in metrics)


def _describe_dataset(cfg: Config, images: int) -> dict[str, Any]:
    """Type and files of the test set, and the number of its images."""
    dataset = cfg.test_dataloader.dataset
    named = {key: dataset[key] for key in ('type', 'data_root', 'ann_file') if dataset.get(key)}
    if isinstance(named.get('type'), str):
        named['type'] = type_name(named)
    for step in dataset.get('pipeline') or ():
        if type_name(step) == 'AskClasses' and step.get('query'):
            named['asked'] = dict(step['query'])
    return {**named, 'images': images}
