"""Names of mmengine's registries whose modules wait until one of them is looked up."""
from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any


class LateNames(dict):
    """The contents of a registry, with names whose modules register them once they are asked for.

    Args:
        known: What is registered already.
    """

    def __init__(self, known: Mapping[str, Any]) -> None:
        super().__init__(known)
        self.late: dict[str, Callable[[], Any]] = {}

    def __contains__(self, name: object) -> bool:
        # Taken out first: the module that registers the name asks for it too.
        if register := self.late.pop(name, None):
            register()
        return super().__contains__(name)

    def __getitem__(self, name: str) -> Any:
        if name in self:
            return super().__getitem__(name)
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name, default) if name in self else default


def _register_adafactor() -> None:
    from mmengine.optim.optimizer import builder
    builder.TRANSFORMERS_OPTIMIZERS += builder.register_transformers_optimizers()


def _importing(module: str) -> Callable[[], Any]:
    return partial(importlib.import_module, module)


#: Module whose import statements wait -> registry, name, and what registers it.
WAITING: dict[str, tuple[str, str, Callable[[], Any]]] = {
    'mmengine._strategy': (
        'STRATEGIES', 'FSDPStrategy', _importing('mmengine._strategy.fsdp')),
    'mmengine.model.wrappers': (
        'MODEL_WRAPPERS', 'MMFullyShardedDataParallel',
        _importing('mmengine.model.wrappers.fully_sharded_distributed')),
    'mmengine.optim.optimizer': (
        'OPTIMIZERS', 'ZeroRedundancyOptimizer',
        _importing('mmengine.optim.optimizer.zero_optimizer')),
    'mmengine.optim.optimizer.builder': ('OPTIMIZERS', 'Adafactor', _register_adafactor),
}


def register_late(importer: str) -> None:
    """Makes known what a module has left for later, if it is one of :data:`WAITING`."""
    if importer not in WAITING:
        return
    kind, name, register = WAITING[importer]
    registry = getattr(importlib.import_module('mmengine.registry'), kind)
    if not isinstance(registry._module_dict, LateNames):
        registry._module_dict = LateNames(registry._module_dict)
    registry._module_dict.late[name] = register
