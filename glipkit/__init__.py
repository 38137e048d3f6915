"""glipkit: grounding detection on MMDetection, with plain pip and today's PyTorch.

Importing the package checks the versions of its foundations, serves mmcv's compiled operators
where there are none, and makes the registry scope ``glipkit`` known. It prints nothing, opens no
connection, and leaves everything heavy to its first use.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from glipkit.common.lazy import lazy_names
from glipkit.compat import (
    check_versions,
    defer_imports,
    name_home,
    prepare_plots,
    serve_operators,
)
from glipkit.moved import serve_moved_modules
from glipkit.version import __version__

check_versions()
name_home()
serve_operators()
defer_imports()
prepare_plots()
serve_moved_modules()

# The registries come last: they are the first thing that needs mmengine and torch. The rooms
# behind them are imported by mmengine when a class is first asked for.
import glipkit.registry  # noqa: E402, F401

if TYPE_CHECKING:  # which does not see what is lazy
    from glipkit.apis.build import load
    from glipkit.apis.predictor import Predictor

_LAZY = {'load': 'glipkit.apis.build', 'Predictor': 'glipkit.apis.predictor'}

__all__ = ['Predictor', '__version__', 'load']
__getattr__ = lazy_names(__name__, _LAZY)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
