"""A folder for matplotlib's cache where a user has none, found before matplotlib looks for one.

matplotlib makes a temporary folder by itself there, and prints two lines about it on the stream
that is for errors.
"""
from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

#: matplotlib's own setting; processes that are started later find the folder by it.
VARIABLE = 'MPLCONFIGDIR'


class PlotFolderFinder(MetaPathFinder):
    """Finds nothing; when matplotlib is first imported, it sees to its folder."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None,
                  target: Any = None) -> ModuleSpec | None:
        if fullname == 'matplotlib' and fullname not in sys.modules:
            give_folder()
        return None


def prepare_plots() -> None:
    """Puts the finder in place; calling it again changes nothing."""
    if not any(isinstance(finder, PlotFolderFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, PlotFolderFinder())


def give_folder() -> Path | None:
    """A private folder that lasts as long as this process; None where the user has one.

    None also where nothing temporary can be made: matplotlib then says so itself.
    """
    if os.environ.get(VARIABLE) or all(map(_can_be_made, _own_folders())):
        return None
    try:
        folder = Path(tempfile.mkdtemp(prefix='matplotlib-'))
    except OSError:
        return None
    os.environ[VARIABLE] = str(folder)
    atexit.register(_remove, folder, os.getpid())
    return folder


def _own_folders() -> list[Path]:
    """Where matplotlib keeps settings and cache of this user; a path that is none where there is no home."""
    try:
        home = Path.home()
    except RuntimeError:
        home = Path(os.devnull)
    if sys.platform == 'win32':
        return [home]
    if not sys.platform.startswith(('linux', 'freebsd')):
        return [home / '.matplotlib']
    bases = (os.environ.get('XDG_CONFIG_HOME') or home / '.config',
             os.environ.get('XDG_CACHE_HOME') or home / '.cache')
    return [Path(base, 'matplotlib') for base in bases]


def _can_be_made(folder: Path) -> bool:
    """Whether a folder is there to be written to, or may be made."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not in processes that it has forked
        shutil.rmtree(folder, ignore_errors=True)
