"""Where the modules of version 0.1 are now: old imports work, with a warning, until version 0.3."""
from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: Module or package of version 0.1 -> its place now, below ``glipkit``. What a package holds moved
#: with it, unless it has an entry of its own.
MOVED = {
    'apis.browse': 'reports.browse',
    'apis.labelling': 'labelling',
    'apis.labelling.parts': 'labelling.shard_ranges',
    'apis.odinw': 'odinw.benchmark',
    'apis.paths': 'common.paths',
    'apis.report': 'reports.pictures',
    'apis.scoreboard_files': 'odinw.scoreboard_files',
    'apis.tuning': 'tuning.run',
    'apis.tuning_data': 'tuning.data',
    'apis.tuning_prompts': 'tuning.prompts',
    'apis.tuning_report': 'tuning.report',
    'apis.tuning_run': 'tuning.training',
    'apis.tuning_settings': 'tuning.settings',
    'benchmarks.units': 'runs.units',
    'compat.lazy': 'common.lazy',
    'data.odinw': 'data.splits.odinw',
    'data.parts': 'data.registrations',
    'data.world_tasks': 'odinw.world_tasks',
    'evaluation.scoreboard': 'odinw.scoreboard',
    'models.backbones.layer_groups': 'models.backbones.towers',
    'models.checkpoints': 'checkpoints',
    'models.checkpoints.io': 'checkpoints.loading',
    'models.checkpoints.layouts': 'checkpoints.glip.layouts',
    'models.checkpoints.mmdet_port': 'checkpoints.glip.mmdet_port',
    'models.checkpoints.official': 'checkpoints.glip.official',
    'models.checkpoints.structure': 'checkpoints.glip.structure',
    'models.checkpoints.tensors': 'checkpoints.glip.tensors',
    'models.detectors.prompt_jobs': 'models.detectors.prompt_passes',
    'models.fusion.chunked_attention': 'models.kernels.chunked_attention',
    'models.heads.deform_conv': 'models.kernels.deform_conv',
    'models.heads.gathered_product': 'models.kernels.gathered_product',
    'text.phrase_pipelines': 'text.phrases.pipelines',
    'text.phrase_words': 'text.phrases.words',
    'text.word_lists': 'text.phrases.word_lists',
}
MOVED |= {f'benchmarks.{name}': f'claims.{name}' for name in (
    'pretraining', 'pseudo_labels', 'self_training', 'self_training_units',
    'self_training_verdicts', 'transfer', 'transfer_tasks', 'transfer_units',
    'transfer_verdicts')}
MOVED |= {f'testing.{name}': f'worlds.{name}' for name in (
    'backgrounds', 'captions', 'english', 'patches', 'shape_drawing', 'shape_vocabulary',
    'shapes', 'stamp_names', 'stamp_source', 'stamps', 'world', 'world_files')}
_ROOT = 'glipkit.'


def place_now(name: str) -> str | None:
    """Full name of the module that was ``name`` in version 0.1; None where it did not move."""
    parts = name.removeprefix(_ROOT).split('.')
    for count in range(len(parts), 0, -1):
        old = '.'.join(parts[:count])
        if old in MOVED:
            return _ROOT + '.'.join([MOVED[old], *parts[count:]])
    return None


class _Alias(Loader):
    """Gives the module of the new name, which stays what it is."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._target)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has put the old name's in its place


class MovedFinder(MetaPathFinder):
    """Answers for modules of glipkit that have moved, and for nothing else."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        now = place_now(fullname) if fullname.startswith(_ROOT) else None
        if now is None:
            return None
        warnings.warn(f'{fullname} is {now} now; the old name goes with version 0.3',
                      DeprecationWarning, stacklevel=2)
        return ModuleSpec(fullname, _Alias(now))


def serve_moved_modules() -> None:
    """Puts the finder in place; calling it again changes nothing."""
    if not any(isinstance(finder, MovedFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, MovedFinder())


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module some of whose names have changed.

    Args:
        module: Its ``__name__``.
        names: Name of version 0.1 -> name now.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f'module {module!r} has no attribute {name!r}')
        warnings.warn(f'{module}.{name} is {names[name]} now; the old name goes with version 0.3',
                      DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[module], names[name])

    return get
