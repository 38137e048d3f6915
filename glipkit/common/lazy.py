"""Names that a package offers without importing the modules that hold them (PEP 562)."""
from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from glipkit.common.collector import collector_paused


def lazy_names(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package.

    Args:
        package: ``__name__`` of the package.
        places: Name -> the module that it is taken from, on its first use.
    """

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f'module {package!r} has no attribute {name!r}')
        with collector_paused():
            value = getattr(importlib.import_module(places[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return get
