"""Which form of a kernel a module takes: the fastest one, or the one that exporters can follow.

Fast forms work in chunks, write into parts of tensors and look at values; what comes out of an
export is one graph of common operators. A module that has both forms has the class attribute
``traceable``, False for the fast one. Nothing is switched in a model itself: `traceable_view` gives
another one that shares its weights, so that it may be exported while others predict with it.
"""
from __future__ import annotations

from typing import TypeVar

from torch import nn

Module = TypeVar('Module', bound=nn.Module)


def traceable_view(module: Module) -> Module:
    """A module whose parts take the form that exporters can follow; it shares all weights."""
    return _view(module, {})


def _view(module: nn.Module, done: dict[int, nn.Module]) -> nn.Module:
    if id(module) in done:
        return done[id(module)]
    children = {name: child if child is None else _view(child, done)
                for name, child in module._modules.items()}
    result = module
    has_forms = hasattr(type(module), 'traceable')
    if has_forms or any(children[name] is not value for name, value in module._modules.items()):
        result = shallow_copy(module)
        result._modules.update(children)
    if has_forms:
        result.traceable = True
    done[id(module)] = result
    return result


def shallow_copy(module: Module) -> Module:
    """A module of the same class with the same contents, in its own dictionaries."""
    copy = module.__class__.__new__(module.__class__)
    copy.__dict__.update(module.__dict__)
    for slots in ('_parameters', '_buffers', '_modules'):
        copy.__dict__[slots] = dict(module.__dict__[slots])
    return copy
