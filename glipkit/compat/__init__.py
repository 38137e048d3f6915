"""What makes glipkit run on a plain pip installation: served operators and the version guard.

``mmcv.ops`` needs the compiled module ``mmcv._ext``, which no wheel provides for current PyTorch.
:func:`serve_operators` puts a finder in place that supplies a module of that name, built on
torchvision and torch, wherever no compiled one can be loaded.
"""
from glipkit.compat.finder import operator_source, serve_operators
from glipkit.compat.homes import name_home, prepare_plots
from glipkit.compat.late_imports import defer_imports
from glipkit.compat.quiet import import_mmdet
from glipkit.compat.versions import check_versions, installed_versions

__all__ = [
    'check_versions', 'defer_imports', 'import_mmdet', 'installed_versions', 'name_home',
    'operator_source', 'prepare_plots', 'serve_operators'
]
