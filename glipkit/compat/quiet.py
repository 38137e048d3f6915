"""A first import of mmdet that does not write on standard output."""
import contextlib
import importlib
import io

from glipkit.common.collector import collector_paused


def import_mmdet() -> None:
    """Import mmdet without its printed line about optional data sets that it could not find."""
    with collector_paused(), contextlib.redirect_stdout(io.StringIO()):
        importlib.import_module('mmdet.datasets')
