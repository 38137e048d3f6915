"""Imports of mmdet, mmengine and timm that wait until what they bring is used.

They load libraries that a prediction never touches: imgaug with numba (which stops where it cannot
write its cache), pyplot, transformers, wandb, torch's sharded optimizers and its compiler.
The import statements listed here are answered with :class:`~glipkit.compat.deferred.Deferred`
objects, whose first use imports the real thing. No one else sees them: ``sys.modules`` holds
nothing but real modules, and the same statement in any module that is not listed is Python's own.
A library that is not installed fails at the statement, as ever.
"""
from __future__ import annotations

import builtins
import functools
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from glipkit.compat.deferred import Deferred
from glipkit.compat.late_registrations import register_late

#: Module -> what its import statements may leave for later, with all that lies below.
LATE: dict[str, tuple[str, ...]] = {
    'mmdet.datasets.transforms.generate_line': ('imgaug', 'scipy'),
    'mmdet.datasets.transforms.text_transformers': ('transformers', ),
    'mmdet.datasets.transforms.transforms': ('albumentations', 'imagecorruptions'),
    'mmdet.datasets.transforms.processors': ('skimage', ),
    'mmdet.evaluation.metrics.crowdhuman_metric': ('scipy', ),
    'mmdet.evaluation.metrics.culane_metric': ('scipy', 'shapely'),
    'mmdet.models.data_preprocessors.data_preprocessor': ('skimage', ),
    'mmdet.models.dense_heads.atss_vlfusion_head': ('transformers', ),
    'mmdet.models.dense_heads.clr_head.clr_head': ('matplotlib', ),
    'mmdet.models.dense_heads.clr_head.lane': ('scipy', ),
    'mmdet.models.dense_heads.paa_head': ('sklearn', ),
    'mmdet.models.language_models.bert': ('transformers', ),
    'mmdet.models.task_modules.assigners.hungarian_assigner': ('scipy', ),
    'mmdet.models.task_modules.assigners.topk_hungarian_assigner': ('scipy', ),
    'mmdet.models.task_modules.tracking.aflink': ('scipy', ),
    'mmdet.models.task_modules.tracking.interpolation': ('sklearn', ),
    'mmdet.models.task_modules.tracking.kalman_filter': ('scipy', ),
    'mmdet.models.trackers.sort_tracker': ('scipy', ),
    'mmdet.models.utils.vlfuse_helper': ('transformers', ),
    'mmdet.structures.mask.structures': ('shapely', ),
    'mmdet.utils.mot_error_visualize': ('matplotlib', ),
    'mmdet.visualization.local_visualizer': ('matplotlib', ),
    'mmengine._strategy': ('mmengine._strategy.fsdp', ),
    'mmengine.model.wrappers': ('mmengine.model.wrappers.fully_sharded_distributed', ),
    'mmengine.optim.optimizer': ('mmengine.optim.optimizer.zero_optimizer', ),
    'mmengine.optim.optimizer.builder': ('transformers', ),
    'timm.models.naflexvit': (),
    'timm.utils.summary': ('wandb', ),
    'torchvision.ops.roi_align': ('torch._dynamo', ),
}
#: Modules whose names become base classes: looked up in the file, and imported if they are there.
BASES = ('transformers.modeling_utils', )
#: Modules that register what they import, and do without it where it is not installed.
REGISTERING = ('mmengine.optim.optimizer.builder', )
#: Module -> the decorator in it that imports a compiler, from where.
DECORATORS = {'timm.models.naflexvit': ('timm.layers', 'disable_compiler')}


class LateImports:
    """The ``__import__`` of one module.

    Args:
        importer: The module whose import statements are answered.
        late: What they may leave for later.
    """

    def __init__(self, importer: ModuleType, late: Sequence[str]) -> None:
        self.importer, self.late, self.running = importer, late, True

    def __call__(self, name: str, globals: Mapping[str, Any] | None = None,
                 locals: Mapping[str, Any] | None = None, fromlist: Sequence[str] | None = (),
                 level: int = 0) -> Any:
        # Functions of the module keep this as their __import__; what they import is needed.
        if self.running and '*' not in (fromlist or ()):
            full = _absolute(name, globals or {}, level)
            decorator = DECORATORS.get(self.importer.__name__)
            if decorator is not None and decorator[0] == full and decorator[1] in (fromlist or ()):
                real = builtins.__import__(name, globals, locals, fromlist, level)
                return _with_late_decorator(real, fromlist, decorator[1])
            if any(f'{full}.'.startswith(f'{late}.') for late in self.late):
                if self.importer.__name__ in REGISTERING:
                    raise ImportError(f'{full} is imported when its names are looked up')
                if full in BASES:
                    _check_names(full, fromlist or ())
                elif not _is_loaded(full, fromlist or ()) and _find(full) is not None:
                    return self._names(full, fromlist) if fromlist else self._package(full)
        return builtins.__import__(name, globals, locals, fromlist, level)

    def _names(self, module: str, names: Sequence[str]) -> SimpleNamespace:
        """For ``from module import names``."""
        return SimpleNamespace(**{
            name: Deferred(module, name, self._replacing(name)) for name in names})

    def _replacing(self, name: str) -> Callable[[Any], None]:
        """Puts the real object where the importing module has the deferred one."""

        def replace(real: Any) -> None:
            if isinstance(vars(self.importer).get(name), Deferred):
                setattr(self.importer, name, real)

        return replace

    @staticmethod
    def _package(module: str) -> Deferred:
        """For ``import a.b`` and ``import a.b as c``: a, with b below it."""
        parts = module.split('.')
        package = above = Deferred(parts[0])
        for count in range(2, len(parts) + 1):
            vars(above)[parts[count - 1]] = above = Deferred('.'.join(parts[:count]))
        return package


def _absolute(name: str, globals: Mapping[str, Any], level: int) -> str:
    if not level:
        return name
    return importlib.util.resolve_name('.' * level + name, globals['__package__'])


def _find(module: str) -> ModuleSpec | None:
    """The spec of a module, found without importing the packages above it."""
    parts = module.split('.')
    try:
        spec = importlib.util.find_spec(parts[0])
    except ValueError:  # something without a spec has been put in its place
        return None
    for count in range(2, len(parts) + 1):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec('.'.join(parts[:count]), spec.submodule_search_locations)
    return spec


def _is_loaded(module: str, names: Sequence[str]) -> bool:
    """Whether importing these names costs nothing; packages like transformers hold most of theirs
    only once they are asked for."""
    loaded = vars(sys.modules[module]) if module in sys.modules else None
    return loaded is not None and all(name in loaded for name in names)


def _check_names(module: str, names: Sequence[str]) -> None:
    """Fails as the import would where a module's file does not even mention a name."""
    spec = _find(module)
    if spec is None or not spec.has_location or not str(spec.origin).endswith('.py'):
        return
    text = Path(spec.origin).read_text(encoding='utf-8')
    for name in names:
        if not any(word in text for word in (name, 'import *', 'def __getattr__')):
            raise ImportError(f'cannot import name {name!r} from {module!r}')


def _with_late_decorator(module: ModuleType, names: Sequence[str], decorator: str) -> Any:
    """Names of a module, one of which decorates functions when they are first called."""

    def decorate(function: Callable) -> Callable:
        decorated: list[Callable] = []

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if not decorated:
                decorated.append(getattr(module, decorator)(function))
            return decorated[0](*args, **kwargs)

        return call

    found = {name: getattr(module, name) for name in names if name != decorator}
    return SimpleNamespace(**found, **{decorator: decorate})


class LateImportLoader(Loader):
    """Runs a module with import statements that may wait.

    Args:
        loader: The loader that Python found for it.
        late: What they may leave for later.
    """

    def __init__(self, loader: Any, late: Sequence[str]) -> None:
        self.loader, self.late = loader, late

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # From here on nothing tells the module from one that we never touched.
        module.__loader__ = module.__spec__.loader = self.loader
        imports = LateImports(module, self.late)
        module.__builtins__ = {**vars(builtins), '__import__': imports}
        try:
            self.loader.exec_module(module)
        finally:
            imports.running = False
            module.__builtins__ = vars(builtins)
        register_late(module.__name__)


class LateImportFinder(MetaPathFinder):
    """Answers for the modules of a table, through Python's own finder.

    Args:
        table: As :data:`LATE`.
    """

    def __init__(self, table: Mapping[str, Sequence[str]] = LATE) -> None:
        self.table = table

    def find_spec(self, fullname: str, path: Sequence[str] | None = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in self.table:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LateImportLoader(spec.loader, self.table[fullname])
        return spec


def defer_imports() -> None:
    """Puts the finder in place; calling it again changes nothing."""
    if not any(isinstance(finder, LateImportFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, LateImportFinder())
