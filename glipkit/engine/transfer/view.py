"""A task as a view of its base model: a separate detector that shares all it does not change."""
from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from glipkit.engine.transfer.strategy import Overrides
from glipkit.models.contract import GroundingDetector
from glipkit.models.kernels.forms import shallow_copy
from glipkit.text.cache import TextFeatureCache
from glipkit.text.prompt_cache import PromptCache


def task_view(model: GroundingDetector, overrides: Overrides) -> GroundingDetector:
    """The detector that a task makes of its base model.

    Modules on the way to a changed tensor or module are copied shallowly; everything else, tensors
    above all, is the base model's own. Nothing of the base model changes, so that it and any number
    of views may predict in several threads at once. A view has its own memory of text features and
    prompts.

    Args:
        model: The base detector.
        overrides: Replacements for parts of it.
    """
    parameters = dict(model.named_parameters())
    tensors = {id(parameters[name]): nn.Parameter(value, requires_grad=False)
               for name, value in overrides.tensors.items()}
    modules = {id(model.get_submodule(name)): module
               for name, module in overrides.modules.items()}
    view = _rebuilt(model, tensors, modules, {})
    if view is model:  # a task that changes nothing still has its own caches
        view = shallow_copy(model)
    for name, value in overrides.children.items():
        setattr(view, name, value)
    view.text_cache = TextFeatureCache(model.text_cache.max_tokens)
    view.prompt_cache = PromptCache(model.prompt_cache.max_queries)
    view.frozen_parts = []
    return view


def _rebuilt(module: nn.Module, tensors: Mapping[int, nn.Parameter],
             modules: Mapping[int, nn.Module], done: dict[int, nn.Module]) -> nn.Module:
    """The module itself where nothing below it changes, else a copy with the changes.

    Args:
        module: Module to search.
        tensors: ``id`` of a parameter -> its replacement, so that tied parameters change together.
        modules: ``id`` of a module -> its replacement.
        done: Results so far by ``id``, so that a shared module stays shared.
    """
    if id(module) in modules:
        return modules[id(module)]
    if id(module) in done:
        return done[id(module)]
    own: dict[str, Tensor | None] = {
        name: tensors.get(id(value), value) for name, value in module._parameters.items()}
    children = {name: child if child is None else _rebuilt(child, tensors, modules, done)
                for name, child in module._modules.items()}
    changed = (any(own[name] is not value for name, value in module._parameters.items())
               or any(children[name] is not value for name, value in module._modules.items()))
    result = module
    if changed:
        result = shallow_copy(module)
        result._parameters.update(own)
        result._modules.update(children)
    done[id(module)] = result
    return result
