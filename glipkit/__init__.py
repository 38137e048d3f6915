"""glipkit: grounding detection on MMDetection, with plain pip and today's PyTorch.

Importing the package checks the versions of its foundations, serves mmcv's compiled operators
where there are none, and makes the registry scope ``glipkit`` known. It prints nothing, opens no
connection, and leaves everything heavy to its first use.

Where PyTorch is not installed, `glipkit.runtime` alone works, which runs exported models.
"""
from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from glipkit.common.lazy import lazy_names
from glipkit.version import __version__

if TYPE_CHECKING:  # which does not see what is lazy
    from glipkit.apis.build import load
    from glipkit.apis.examples import Example
    from glipkit.apis.predictor import Predictor
    from glipkit.text.query import Query

_LAZY = {'load': 'glipkit.apis.build', 'Predictor': 'glipkit.apis.predictor',
         'Query': 'glipkit.text.query', 'Example': 'glipkit.apis.examples'}


_absent: ImportError | None = None


def _with_torch() -> bool:
    try:
        return find_spec('torch') is not None
    except (ImportError, ValueError):  # whoever keeps it away says so in a way of its own
        return False


def _without_torch(name: str) -> Any:
    if name in _LAZY:
        told = 'is not installed' if _absent is None else f'cannot be imported ({_absent})'
        raise ImportError(f'glipkit.{name} needs PyTorch, which {told}; run: pip install glipkit. '
                          'Without it, glipkit.runtime runs exported models') from _absent
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


_lazy = _without_torch
if _with_torch():
    from glipkit.compat import (
        check_versions,
        defer_imports,
        name_home,
        prepare_plots,
        serve_operators,
    )
    from glipkit.moved import serve_moved_modules

    check_versions()
    name_home()
    serve_operators()
    defer_imports()
    prepare_plots()
    serve_moved_modules()

    # The registries come last: they are the first thing that needs mmengine and torch. The rooms
    # behind them are imported by mmengine when a class is first asked for.
    try:
        import glipkit.registry  # noqa: F401
        _lazy = lazy_names(__name__, _LAZY)
    except ImportError as error:
        # PyTorch lies there and cannot be imported: damaged, or kept away at the import itself.
        _absent = error

__all__ = ['Example', 'Predictor', 'Query', '__version__', 'load']


def __getattr__(name: str) -> Any:
    if name == 'runtime':
        return importlib.import_module('glipkit.runtime')
    return _lazy(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, 'runtime'})
