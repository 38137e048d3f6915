"""The finder that serves ``mmcv._ext`` where no compiled one can be loaded."""
from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NAME = 'mmcv._ext'
ORIGIN = 'served by glipkit.compat'


class ServedLoader(Loader):
    """Fills the module with the operators of :mod:`glipkit.compat.operators`."""

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        from glipkit.compat.operators import served_namespace
        vars(module).update(served_namespace())


class CompiledLoader(Loader):
    """Loads the compiled module; if that fails, warns once and serves ours in its place.

    Args:
        compiled: The loader that Python itself found for the compiled module.
    """

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self.cause: Exception | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        # The extension links against torch's libraries: they must be in the process first, or a
        # good build would look broken.
        importlib.import_module('torch')
        try:
            return self.compiled.create_module(spec)
        except Exception as cause:  # noqa: B902 (a foreign binary may fail in any way)
            self.cause = cause
            return None

    def exec_module(self, module: ModuleType) -> None:
        if self.cause is None:
            try:
                self.compiled.exec_module(module)
            except Exception as cause:  # noqa: B902
                self.cause = cause
            else:
                # Now the module looks exactly as if Python's own loader had loaded it.
                module.__loader__ = self.compiled
                module.__spec__.loader = self.compiled
                return
        self._serve_instead()

    def _serve_instead(self) -> None:
        text = ' '.join(str(self.cause).split())
        warnings.warn(
            f'the compiled {NAME} cannot be loaded ({type(self.cause).__name__}: {text}); glipkit '
            'serves its operators through torchvision. Remove that build, or install one made for '
            'this PyTorch, to end this warning.', RuntimeWarning, stacklevel=2)
        # The import system returns the module in sys.modules at the end, so nothing of a half
        # initialised binary module remains.
        spec = _served_spec()
        module = importlib.util.module_from_spec(spec)
        sys.modules[NAME] = module
        spec.loader.exec_module(module)


class OperatorFinder(MetaPathFinder):
    """Finds ``mmcv._ext`` and nothing else: the compiled module, guarded, or the served one."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != NAME:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, 'find_spec'):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                if not isinstance(spec.loader, CompiledLoader):
                    spec.loader = CompiledLoader(spec.loader)
                return spec
        return _served_spec()


def _served_spec() -> ModuleSpec:
    return ModuleSpec(NAME, ServedLoader(), origin=ORIGIN)


def serve_operators() -> None:
    """Put the finder in place; calling it again changes nothing.

    It stands first, because only a finder that is asked before Python's own can replace a compiled
    module that is found but cannot be loaded.
    """
    if not any(isinstance(finder, OperatorFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, OperatorFinder())


def operator_source() -> str:
    """Where the operators of ``mmcv.ops`` come from: 'compiled (PATH)' or 'served by ...'."""
    module = importlib.import_module(NAME)
    if isinstance(module.__spec__.loader, ServedLoader):
        return ORIGIN
    return f'compiled ({module.__spec__.origin})'
