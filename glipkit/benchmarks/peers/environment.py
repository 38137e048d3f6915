"""A second environment that differs from the running one in one library.

It holds an older transformers with what that pins, and sees everything else (torch above all,
several gigabytes of it) in the running environment, whose folders follow its own on the path.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import version
from pathlib import Path

from glipkit.common.reporter import note
from glipkit.errors import UserError
from glipkit.files import atomic_folder, remove_unfinished
from glipkit.runs.locks import locked

STAMP = 'glipkit-peer.json'


def default_folder(name: str) -> Path:
    """Where the environment of a peer is kept if nobody says otherwise."""
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    return cache / 'glipkit' / 'peers' / name


def peer_python(folder: Path, transformers: str) -> str:
    """The interpreter of the environment in ``folder``, which is made where it is not there yet.

    An environment that was made for other versions is made anew.

    Args:
        folder: Folder of the environment: an empty or missing one, or one that this function made.
        transformers: Its version of transformers.

    Raises:
        UserError: When something else is in the folder, or the environment cannot be made.
    """
    wanted = {'transformers': transformers, 'python': sys.version.split()[0],
              'torch': version('torch'), 'beside': _own_folders()}
    stamp = folder / STAMP
    if stamp.is_file():
        if json.loads(stamp.read_text()) == wanted:
            return str(_python(folder))
    elif folder.is_file() or folder.is_dir() and any(folder.iterdir()):
        raise UserError('a new or empty folder for the peer environment',
                        f'{folder} with other things in it', 'pass another --peer-env')
    with locked(folder.with_name(f'.{folder.name}.lock')) as alone:
        if alone:
            remove_unfinished(folder.parent, folder.name)
        note(f'making an environment with transformers {transformers}: {folder}')
        with atomic_folder(folder) as draft:
            _make(draft, transformers)
            (draft / STAMP).write_text(json.dumps(wanted))
    return str(_python(folder))


def _make(folder: Path, transformers: str) -> None:
    venv.create(folder, symlinks=os.name != 'nt')
    packages = Path(sysconfig.get_path('purelib', vars={'base': str(folder)}))
    # addsitedir, because editable installations speak through .pth files of their own.
    lines = [f'import site; site.addsitedir({path!r})' for path in _own_folders()]
    (packages / 'beside.pth').write_text('\n'.join(lines) + '\n')
    # pip sees the libraries beside and installs only what is missing or of another version; those
    # in an environment that is not its own it leaves alone.
    _run([sys.executable, '-m', 'pip', '--python', str(_python(folder)), 'install', '--quiet',
          '--disable-pip-version-check', f'transformers=={transformers}'])
    found = _run([str(_python(folder)), '-c',
                  'import glipkit, torch, transformers; print(transformers.__version__)'])
    if found.split()[-1:] != [transformers]:
        raise UserError(f'transformers {transformers} in the new environment', found.strip(),
                        'unset PYTHONPATH, which hides it')


def _own_folders() -> list[str]:
    """Folders with the libraries of the running environment."""
    found = [sysconfig.get_path('purelib'), sysconfig.get_path('platlib')]
    return list(dict.fromkeys(found))


def _python(folder: Path) -> Path:
    return folder / ('Scripts/python.exe' if os.name == 'nt' else 'bin/python')


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise UserError('a peer environment that pip can make', lines[-1] if lines else 'no word',
                        'check the network and the package index, or pass --peer none')
    return done.stdout
