"""From a config's name or path to a detector that is ready to be used."""
from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import Config
from torch import nn

from glipkit.apis.index import default_model, entry_of, model_index, model_name
from glipkit.apis.index import shipped_weights as shipped_weights  # where programs look for it
from glipkit.apis.weights import RANDOM, NoWeights, fetch_weights, weights_if_any
from glipkit.checkpoints import load_checkpoint
from glipkit.common.allocator import keep_freed_memory
from glipkit.common.paths import config_root
from glipkit.common.waiting import wait_briefly_in_a_crowd
from glipkit.errors import UserError
from glipkit.files import no_room
from glipkit.registry import MODELS, building_in

SUFFIXES = ('.py', '.json', '.yaml', '.yml')
"""Endings of the files that mmengine reads as configs."""


def known_models() -> dict[str, Path]:
    """Name -> config of every model in the index."""
    return {name: entry.config for name, entry in model_index().items()}


def find_config(name_or_path: str | Path) -> Path:
    """The config file of a model name or path.

    Raises:
        UserError: When there is no such file and no such name.
    """
    known = known_models()
    if not isinstance(name_or_path, (str, Path)):
        raise UserError(f'a model name ({", ".join(known)}) or the path of a config',
                        f'{type(name_or_path).__name__} {name_or_path!r}', 'pass a string')
    path = Path(name_or_path)
    is_config = path.suffix in SUFFIXES
    if is_config and path.is_file():
        return path
    name = str(name_or_path)
    if name in known:
        return known[name]
    # A config of ours may be named as in the documentation from any working directory.
    for candidate in (config_root().parent / path, config_root() / path):
        if is_config and candidate.is_file():
            return candidate
    if is_config or path.parent != Path('.'):
        what = f'no such file at {name}' if is_config or not path.exists() else \
            f'{name}, whose name ends otherwise'
        raise UserError(f'a config file ({", ".join(SUFFIXES)})', what,
                        f'check the path, or use a name: {", ".join(known)}')
    raise UserError(f'a model name ({", ".join(known)}) or the path of a config', repr(name),
                    'choose one of these')


def load(name_or_path: str | Path, checkpoint: str | Path | None = None,
         device: str | torch.device = 'cpu') -> nn.Module:
    """Builds a detector and loads its weights.

    Args:
        name_or_path: A model name such as ``'glip-t-c'``, or the path of a config.
        checkpoint: A file or hub name (``owner/repository:file``) in any layout of the model's
            family; or ``'random'``. None takes the weights of the name: those that come with
            glipkit, or those on the hub, which are fetched once (see :mod:`~.weights`). Where
            there are none, or no network, the weights are random, and a warning says so.
        device: Device of the model; ``'auto'`` for the fastest one of this machine.

    Returns:
        The detector in evaluation mode, with its config as ``.cfg``.

    Raises:
        UserError: For an unknown name, a config with an unknown key or class, a checkpoint that
            does not fit, a device that this machine does not have, or a download that broke or is
            another file than it should be.
    """
    path = find_config(name_or_path)
    where = check_device(device)
    cfg, lack = read_config(path), ''
    if not checkpoint:
        checkpoint, lack = weights_if_any(name_or_path)
    model = build_model(cfg)
    if checkpoint is None:
        warnings.warn(f"{model_name(path)} has random weights: {lack}; pass checkpoint='random' "
                      'where that is wanted', stacklevel=2)
    elif checkpoint != RANDOM:
        load_checkpoint(model, checkpoint)
    return model.to(where).eval()


def checkpoint_for(name_or_path: str | Path, checkpoint: str | Path | None = None) -> str | Path:
    """The checkpoint to load where nobody wants random weights but by saying ``'random'``.

    Args:
        name_or_path: A model name, or the path of a config.
        checkpoint: A file, a hub name, or ``'random'``; None takes the weights of the model's name,
            which are fetched on first use.

    Raises:
        NoWeights: None was given, and none can be had.
        UserError: An unknown name; what was fetched is another file than it should be, or there is
            no room for it.
    """
    if checkpoint:
        return checkpoint
    entry = entry_of(find_config(name_or_path))
    if entry is None:
        raise NoWeights(f'weights for {name_or_path}', 'none: glipkit comes without them',
                        "pass --checkpoint FILE (checkpoint=...), or 'random' for random ones")
    return fetch_weights(entry)


def as_detector(model: str | Path | nn.Module, checkpoint: str | Path | None = None,
                device: str | torch.device = 'cpu') -> nn.Module:
    """A detector in evaluation mode: one that `load` made, or the one that a name stands for.

    Args:
        model: A model name, the path of a config, or a detector with its config as ``.cfg``.
        checkpoint: Weights, see `checkpoint_for`; not with a detector.
        device: Device of the model.

    Raises:
        UserError: No weights, a module without a config, or an error of `load`.
    """
    if not isinstance(model, nn.Module):
        model = load(model, checkpoint_for(model, checkpoint), device)
    elif checkpoint is not None:
        raise UserError('a checkpoint only with a model name or config',
                        'a detector and a checkpoint', 'load it into the detector')
    if not isinstance(getattr(model, 'cfg', None), Config):
        raise UserError('a model name, a config or a detector that glipkit.load made',
                        f'a {type(model).__name__} without a config',
                        f'pass e.g. glipkit.load({default_model()!r})')
    return model.to(check_device(device)).eval()


def read_config(path: str | Path) -> Config:
    """Reads a config file.

    Raises:
        UserError: When the file cannot be read as a config, or describes no model.
    """
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is Python: any exception may come out of it
        if no_room(error) is not None:  # for the copy that mmengine makes
            raise
        lines = str(error).strip().splitlines()
        reason = f'{type(error).__name__}: {lines[0] if lines else ""}'
        raise UserError('a config that mmengine can read', f'{path} ({reason})',
                        'correct the config') from error
    if not isinstance(cfg.get('model'), dict):
        raise UserError("a config with a 'model'", f'{path} without one', 'pass another config')
    return cfg


def build_model(cfg: Config) -> nn.Module:
    """Builds the detector of a config, without weights; the config stays with it as ``.cfg``.

    From now on threads of PyTorch wait asleep while other processes want the processors
    (:mod:`glipkit.common.waiting`), and freed memory is used again rather than given back and asked
    for anew (:mod:`glipkit.common.allocator`).

    Raises:
        UserError: For an unknown or missing key, or an unknown class.
    """
    wait_briefly_in_a_crowd()
    keep_freed_memory()
    scope = cfg.get('default_scope', 'glipkit')
    with config_errors(), building_in(scope), _float32():
        model = MODELS.build(cfg.model)
    model.cfg = cfg
    return model


@contextmanager
def _float32() -> Iterator[None]:
    """What is made inside the block is float32, as images and checkpoints are, whatever default the
    program has set; call it in `building_in`, as the default belongs to the whole process."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def config_errors() -> Iterator[None]:
    """Turns the errors of constructors and registries for a wrong config into a UserError."""
    try:
        yield
    except (TypeError, KeyError, ValueError, ImportError) as error:
        found = None if isinstance(error, UserError) else config_error(error)
        if found is None:
            raise
        raise found from error


def config_error(error: Exception) -> UserError | None:
    """The UserError for a constructor's error about a config; None for any other error."""
    message = ' '.join(str(error).split())
    owner = re.search(r'(\w+)\.__init__\(\)', message)
    taker = owner[1] if owner else 'the class'
    if match := re.search(r"unexpected keyword argument '(\w+)'", message):
        return UserError(f'keys of the config that {taker} takes', f'unknown key {match[1]!r}',
                         'remove it or check its spelling')
    if match := re.search(r"missing \d+ required .*?arguments?: (.+)", message):
        return UserError(f'all keys that {taker} needs in the config', f'no {match[1]}',
                         'add what is missing')
    if match := re.search(r'(\S+) is not in the (\S+) registry', message):
        name = match[1].strip('\'"')
        return UserError('a registered `type` in the config',
                         f'{name!r} (looked in {match[2]})',
                         'check its spelling; classes of mmdet are written mmdet.X')
    if match := re.search(r'Cannot infer the rule for (?:key )?(\S+?),', message):
        return UserError(f"for the score {match[1]} a rule, 'greater' or 'less'", 'none',
                         f'add rule=... where the config names {match[1]}')
    if type(error).__name__ == 'TraceError':  # of torch.fx
        return UserError('for efficient_conv_bn_eval parts that torch.fx can trace',
                         f'one that it cannot ({message})', 'leave that part out')
    if isinstance(error, ImportError) and 'vis_backend' in _raised_in(error):
        return UserError('the package that a visualisation backend of the config needs',
                         f'none installed ({message})',
                         'install it, or take the backend out of vis_backends')
    if match := re.search(r'must contain the key "type"', message):
        return UserError("a 'type' in every part of the config's model", 'a part without one',
                         'add it')
    return None


def _raised_in(error: Exception) -> str:
    """The module that raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return '' if trace is None else trace.tb_frame.f_globals.get('__name__', '')


def check_device(device: str | torch.device) -> torch.device:
    """The device, after a check that this machine has it; ``'auto'`` takes the fastest one.

    Raises:
        UserError: For a name torch does not know, or a device this machine does not have.
    """
    try:
        found = torch.device(fastest_device() if device == 'auto' else device)
        torch.empty(0, device=found)
    except Exception as error:  # torch's errors about devices have no common type
        raise UserError("'auto', or a device such as 'cpu' or 'cuda:1' that this machine has",
                        repr(str(device)), "pass device='cpu', or repair the driver") from error
    return found


def fastest_device() -> str:
    """What ``'auto'`` stands for: ``'cuda'`` where there is a GPU, else Apple's ``'mps'``, else
    ``'cpu'``."""
    if torch.cuda.is_available():
        return 'cuda'
    return 'mps' if torch.backends.mps.is_available() else 'cpu'
