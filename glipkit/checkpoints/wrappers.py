"""Models that stand inside others (distributed, averaged, compiled), and what this does to keys."""
from __future__ import annotations

import re
from collections.abc import Mapping

from mmengine.model import BaseAveragedModel, is_model_wrapper
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

#: Names that compiling, checkpointing of activations and FSDP put into keys, at any depth.
_INNER = re.compile(r'(?<![^.])(?:_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\.')
_OUTER = 'module.'
#: What averaged models count beside their weights.
_COUNTERS = ('n_averaged', 'steps')


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside any number of wrappers, in any order."""
    while True:
        inside = model._modules
        if '_orig_mod' in inside:
            model = inside['_orig_mod']
        elif is_model_wrapper(model) or isinstance(model, (AveragedModel, BaseAveragedModel)):
            model = inside['module']
        else:
            return model


def keys_of(model: nn.Module) -> dict[str, str]:
    """Key of an unwrapped model's state dict -> its key without the wrappers of its parts.

    Where two would become one, all stay as they are.
    """
    return _renamed(model.state_dict())


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of a model, as if neither it nor a part of it were wrapped; its parameters
    themselves, not detached."""
    inner = unwrap(model)
    names = keys_of(inner)
    return {names[key]: tensor for key, tensor in inner.state_dict(keep_vars=True).items()}


def without_wrappers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with at most one ``module.`` left of what wrappers put before its keys."""
    names = _renamed(state)
    state = {names[key]: tensor for key, tensor in state.items()}
    inner = _inside(state)
    while inner is not None:
        state = {_OUTER + key: tensor for key, tensor in inner.items()}
        inner = _inside(inner)
    return state


def bare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with nothing left of what wrappers put before its keys."""
    state = without_wrappers(state)
    return state if (inner := _inside(state)) is None else inner


def _inside(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """What one outer wrapper holds; None where there is none."""
    weights = {key: tensor for key, tensor in state.items() if key not in _COUNTERS}
    if not weights or not all(key.startswith(_OUTER) for key in weights):
        return None
    return {key[len(_OUTER):]: tensor for key, tensor in weights.items()}


def _renamed(state: Mapping[str, Tensor]) -> dict[str, str]:
    names = {key: _INNER.sub('', key) for key in state}
    return names if len(set(names.values())) == len(names) else {key: key for key in names}
