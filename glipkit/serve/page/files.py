"""Files of the page: one private folder of the process, in it a folder for each open tab."""
from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path

from glipkit.apis.detections import Detections
from glipkit.apis.prediction_writers import write_predictions
from glipkit.errors import UserError
from glipkit.runs.locks import locked

#: Formats of the download buttons -> what a button says.
DOWNLOADS = {'coco': 'COCO', 'yolo': 'YOLO', 'csv': 'CSV'}
#: Seconds after which an upload is removed that no tab has taken.
UPLOAD_AGE = 600
#: Tabs whose files are kept at once; then those go that were not used for the longest time.
SESSIONS = 64
#: Drawn results of a tab that are kept: a browser may still be fetching an earlier one.
RESULTS = 4
_PREFIX, _LOCK, _TABS, _EXAMPLES = 'glipkit-page-', 'in-use', 'tabs', 'examples'


class PageFolder:
    """A folder that nobody else can read, removed when the process ends.

    What a killed process left is removed by the next one.

    Args:
        parent: Where it is made; None takes the system's folder for temporary files.
    """

    def __init__(self, parent: str | Path | None = None) -> None:
        parent = Path(tempfile.gettempdir() if parent is None else parent)
        remove_abandoned(parent)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent)).resolve()
        (self.path / _TABS).mkdir()
        self._guard, self._held = threading.Lock(), ExitStack()
        self._held.enter_context(locked(self.path / _LOCK, wait=False))

    def close(self) -> None:
        """Removes the folder."""
        self._held.close()
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def examples(self) -> Path:
        """The folder of the example pictures, which stay."""
        folder = self.path / _EXAMPLES
        folder.mkdir(exist_ok=True)
        return folder

    def new_session(self) -> Path:
        """A folder for one tab, with a name that cannot be guessed."""
        with self._guard:
            kept = sorted((self.path / _TABS).iterdir(), key=_last_use)
            for old in kept[:max(0, len(kept) + 1 - SESSIONS)]:
                remove_session(old)
            return Path(tempfile.mkdtemp(prefix=os.urandom(16).hex(), dir=self.path / _TABS))

    def take(self, upload: str | Path, session: Path, name: str) -> Path:
        """An uploaded file in a tab's own folder; two tabs may have sent the same one.

        Args:
            upload: The file, in this folder.
            session: The tab's folder.
            name: Name that it gets there.

        Raises:
            UserError: The upload or the tab's folder is gone, or it lies elsewhere.
        """
        source, target = Path(upload).resolve(), session / name
        if not source.is_relative_to(self.path):
            raise UserError('a file that was uploaded', 'another one', 'upload it')
        try:
            try:
                os.link(source, target)
            except FileNotFoundError:
                raise
            except OSError:  # a file system without links
                shutil.copyfile(source, target)
        except FileNotFoundError as error:
            raise gone() from error
        return target

    def sweep(self) -> int:
        """Removes uploads that are older than `UPLOAD_AGE`; returns the bytes of what stays."""
        oldest, size = time.time() - UPLOAD_AGE, 0
        for entry in self.path.iterdir():
            if entry.name in (_LOCK, _EXAMPLES):
                continue
            for file in [path for path in entry.rglob('*') if path.is_file()]:
                with suppress(OSError):
                    status = file.stat()
                    if entry.name == _TABS or status.st_ctime >= oldest:
                        size += status.st_size
                    else:
                        file.unlink()
            if entry.name != _TABS:
                with suppress(OSError):  # not empty yet
                    entry.rmdir()
        return size


@cache
def page_folder() -> PageFolder:
    """The folder of this process; gradio keeps its uploads there, too.

    Gradio learns it from an environment variable alone, and asks for it with every request.
    """
    folder = PageFolder(os.environ.get('GRADIO_TEMP_DIR'))
    os.environ['GRADIO_TEMP_DIR'] = str(folder.path)
    atexit.register(folder.close)
    return folder


def gone() -> UserError:
    """The error for pictures that were removed because the tab was left for long."""
    return UserError('pictures of this tab', 'none, they were removed after a while',
                     'add them again')


def remove_session(folder: Path | None) -> None:
    """Removes a tab's folder."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(parent: Path) -> None:
    """Removes folders of processes that were killed."""
    for folder in parent.glob(f'{_PREFIX}*'):
        with suppress(OSError, UserError):  # in use, or of another user
            if (folder / _LOCK).is_file():
                with locked(folder / _LOCK, wait=False) as held:
                    if held:
                        shutil.rmtree(folder, ignore_errors=True)


def new_result(session: Path) -> Path:
    """A new folder for what is shown next in a tab; of earlier ones the last few stay.

    Raises:
        UserError: The tab's folder is gone.
    """
    for old in sorted(session.glob('shown-*'))[:1 - RESULTS]:
        shutil.rmtree(old, ignore_errors=True)
    try:
        os.utime(session)  # in use
        return Path(tempfile.mkdtemp(prefix=f'shown-{time.time_ns()}-', dir=session))
    except FileNotFoundError as error:
        raise gone() from error


def write_downloads(found: Sequence[Detections], names: Sequence[str],
                    folder: Path) -> dict[str, Path]:
    """One file to download for each of `DOWNLOADS`; those of many files are zipped.

    Args:
        found: Detections of each picture.
        names: Name of each picture.
        folder: Where the files are written.

    Returns:
        Format -> file.
    """
    return {form: _one_file(write_predictions(found, names, folder / form, form), form)
            for form in DOWNLOADS}


def _one_file(place: Path, form: str) -> Path:
    """A file as it is; of a folder a zip file beside it."""
    if place.is_file():
        return place
    archive = place.parent / f'{form}.zip'
    with zipfile.ZipFile(archive, 'w', zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(path for path in place.rglob('[!.]*') if path.is_file()):
            packed.write(file, file.relative_to(place).as_posix())
    return archive


def _last_use(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.
