"""An object that imports what it stands for when it is first used."""
from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any


class Deferred:
    """Stands for a module, or for a name in one, until somebody uses it.

    Calls, attributes, ``isinstance``, ``issubclass``, ``|`` of types and use as a base class all
    reach the real object.

    Args:
        module: The module's full name.
        name: The name in it; None means the module itself.
        found: Called with the real object once it is there.
    """

    def __init__(self, module: str, name: str | None = None,
                 found: Callable[[Any], None] | None = None) -> None:
        self.__dict__.update(_module=module, _name=name, _found=found)

    def _real(self) -> Any:
        module = importlib.import_module(self._module)
        real = module if self._name is None else _member(module, self._name)
        if self._found is not None:
            self._found(real)
        return real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._real(), name)

    def __dir__(self) -> list[str]:
        return dir(self._real())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __getitem__(self, key: Any) -> Any:
        return self._real()[key]

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._real())

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(subclass, self._real())

    def __mro_entries__(self, bases: tuple) -> tuple:
        return (self._real(), )

    def __or__(self, other: Any) -> Any:
        return self._real() | other

    def __ror__(self, other: Any) -> Any:
        return other | self._real()

    def __reduce__(self) -> tuple:
        return Deferred, (self._module, self._name)

    def __repr__(self) -> str:
        name = '' if self._name is None else f'.{self._name}'
        return f'<{self._module}{name}, imported on first use>'


def _member(module: ModuleType, name: str) -> Any:
    """What ``from module import name`` gives."""
    try:
        return getattr(module, name)
    except AttributeError as error:
        try:
            return importlib.import_module(f'{module.__name__}.{name}')
        except ModuleNotFoundError:
            raise ImportError(f'cannot import name {name!r} from {module.__name__!r}') from error
