"""Users without a home, or with one that cannot be written, as containers have them.

Libraries look for a folder of settings or a cache there. Some stop where the system knows no home
at all; and matplotlib, which makes itself a temporary folder, prints two lines about it on the
stream that is for errors.
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

from glipkit.files import can_be_made

#: The home of users who have none, as Debian writes it.
NOWHERE = '/nonexistent'
#: matplotlib's own setting; processes that are started later find the folder by it.
VARIABLE = 'MPLCONFIGDIR'


def name_home() -> None:
    """Names a home that does not exist, where no home is known.

    So libraries do what they do where they cannot write, and find nothing that others have put
    there.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ['HOME'] = NOWHERE


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
    if os.environ.get(VARIABLE) or all(map(can_be_made, _own_folders())):
        return None
    try:
        folder = Path(tempfile.mkdtemp(prefix='matplotlib-'))
    except OSError:
        return None
    os.environ[VARIABLE] = str(folder)
    atexit.register(_remove, folder, os.getpid())
    return folder


def _own_folders() -> list[Path]:
    """Where matplotlib keeps settings and cache of this user."""
    home = Path.home()
    if sys.platform == 'win32':
        return [home]
    if not sys.platform.startswith(('linux', 'freebsd')):
        return [home / '.matplotlib']
    bases = (os.environ.get('XDG_CONFIG_HOME') or home / '.config',
             os.environ.get('XDG_CACHE_HOME') or home / '.cache')
    return [Path(base, 'matplotlib') for base in bases]


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not in processes that it has forked
        shutil.rmtree(folder, ignore_errors=True)
