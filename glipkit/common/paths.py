"""Places of the files that come with glipkit, for every kind of installation."""
from __future__ import annotations

import os
import sys
from pathlib import Path

from glipkit.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1]
INDEX = 'index.yaml'


def config_root(package: Path = PACKAGE) -> Path:
    """The folder of the configs that come with glipkit.

    A wheel carries them inside the package; in a checkout, also one installed with
    ``pip install -e``, they lie beside it.

    Args:
        package: Folder of the package.

    Raises:
        UserError: The configs are in neither place.
    """
    inside, beside = package / 'configs', package.parent / 'configs'
    for root in (inside, beside):
        # Beside the package of a wheel are other packages: one called configs would not be ours.
        if (root / INDEX).is_file():
            return root
    raise UserError(f'the configs in {inside} or {beside}', 'neither folder',
                    'install glipkit again: pip install --force-reinstall --no-deps glipkit')


def packaged(path: str | Path, package: Path = PACKAGE) -> Path:
    """A file at a path or, where none is, the one that comes with glipkit (``glipkit/weights/...``)
    and that a recipe names from whatever folder it is run in; else the path as it is."""
    inside = package.parent / path
    return inside if not Path(path).is_file() and inside.is_file() and \
        package in inside.resolve().parents else Path(path)


def weights_folder() -> Path:
    """The folder in which weights of named models are kept; it need not exist.

    $GLIPKIT_HOME, else ``glipkit`` in the platform's folder for caches (~/.cache on Linux).
    """
    named = os.environ.get('GLIPKIT_HOME')
    if named:
        return Path(named).expanduser()
    home = Path.home()
    if sys.platform == 'win32':
        caches = Path(os.environ.get('LOCALAPPDATA') or home / 'AppData' / 'Local')
    elif sys.platform == 'darwin':
        caches = home / 'Library' / 'Caches'
    else:
        caches = Path(os.environ.get('XDG_CACHE_HOME') or home / '.cache')
    return caches / 'glipkit'
