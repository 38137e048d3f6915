"""A first import of mmdet that does not write on standard output."""
import contextlib
import importlib
import io


def import_mmdet() -> None:
    """Import mmdet without its printed line about optional data sets that it could not find."""
    with contextlib.redirect_stdout(io.StringIO()):
        importlib.import_module('mmdet.datasets')
