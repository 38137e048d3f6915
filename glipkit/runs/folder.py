"""A folder belongs to one run: a small file in it, written first and completely, says which.

The same run again resumes; another run, and a folder with other files, are refused.
"""
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glipkit.errors import UserError
from glipkit.files import is_unfinished, remove_unfinished, write_text
from glipkit.runs.locks import locked

#: The usual file of a run's identity, and the file whose lock a run holds.
SETTINGS, LOCK = 'settings.json', '.lock'


def claim(folder: Path, identity: Mapping[str, Any], file: str = SETTINGS) -> bool:
    """Marks a folder as one run's, or finds that it is; several processes may share the run.

    Args:
        folder: Folder of the run; made where there is none.
        identity: Everything that the results depend on: settings, digests of files, versions.
            Values that JSON lacks are kept as text.
        file: File of the identity, relative to the folder.

    Returns:
        Whether an earlier start of the same run has marked it.

    Raises:
        UserError: It holds a run with other settings, or other files.
    """
    _refuse_foreign(folder, file)
    with locked(folder / LOCK):
        return _mark(folder, identity, file)


@contextmanager
def claimed(folder: Path, identity: Mapping[str, Any], file: str = SETTINGS) -> Iterator[bool]:
    """:func:`claim` for a run of one process, which has the folder for itself inside the block.

    What killed starts of the run left unfinished is removed.

    Yields:
        Whether an earlier start of the same run has marked it.

    Raises:
        UserError: Another process is at work in the folder, or an error of :func:`claim`.
    """
    _refuse_foreign(folder, file)
    with locked(folder / LOCK, wait=False) as alone:
        resumed = _mark(folder, identity, file)
        if alone:
            remove_unfinished(folder)
            own = folder / file
            remove_unfinished(own.parent, own.name)
        yield resumed


def kept_manifest(path: Path, key: str, owner: str, what: str,
                  needed: Mapping[str, type]) -> dict[str, Any] | None:
    """The manifest that a command keeps of its folder; None where there is none yet.

    For folders in which a command's files may stand beside others, e.g. images.

    Args:
        path: Path of the manifest.
        key: Key of the owner in it.
        owner: The only owner to accept.
        what: Description of the owner, for the error.
        needed: Other keys that it must have, and the type of each value.

    Raises:
        UserError: The folder is a file; the manifest is damaged, or another owner's.
    """
    folder = path.parent
    if folder.exists() and not folder.is_dir():
        raise UserError('an output folder', f'the file {folder}', 'choose another output folder')
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get(key) != owner or not all(
            isinstance(content.get(name), kind) for name, kind in needed.items()):
        raise UserError(f'a new folder, or one with a manifest of {what}', str(path),
                        'choose another output folder')
    return content


def _mark(folder: Path, identity: Mapping[str, Any], file: str) -> bool:
    path = folder / file
    # As it will be read back: tuples are lists then, and paths are text.
    wanted = json.loads(json.dumps(identity, default=str))
    if path.is_file() and not _lost(path):
        _compare(_read(path), wanted, folder)
        return True
    _refuse_foreign(folder, file)
    write_text(path, json.dumps(wanted, indent=1) + '\n')
    return False


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise UserError('the folder of a run', f'{path}, which is damaged ({error})',
                        'pass another --out') from error


def _lost(path: Path) -> bool:
    """Whether a power cut has taken what was written: the file has no bytes, or only zeros."""
    return not path.read_bytes().strip(b'\0')


def _compare(before: Any, wanted: dict[str, Any], folder: Path) -> None:
    if before == wanted:
        return
    before = before if isinstance(before, dict) else {}
    differing = sorted(key for key in {*before, *wanted} if before.get(key) != wanted.get(key))
    raise UserError('the folder of the same run, or a new one',
                    f'{folder}, which holds a run with other settings or data: '
                    f'{", ".join(differing)}',
                    'pass another --out, or the settings of that run')


def _refuse_foreign(folder: Path, file: str) -> None:
    """Refuses a folder that was not claimed and holds other files.

    A lock, an empty folder for the identity, and an identity that is unfinished are those of a
    run that was killed before its identity was in place.
    """
    own = folder / file
    if (own.is_file() and not _lost(own)) or not folder.is_dir():
        return
    foreign = [path for path in folder.iterdir() if path.name != LOCK and path != own.parent]
    if own.parent != folder and own.parent.is_dir():
        foreign += own.parent.iterdir()
    foreign = [path for path in foreign if path != own and not is_unfinished(path, own.name)]
    if foreign:
        raise UserError('a new or empty folder for --out',
                        f'{folder} with other files, e.g. {min(foreign).name}',
                        'pass another --out')
