"""How detections become files: begun once, an image at a time, put in place at the end."""
from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from glipkit.apis.detections import Detections
from glipkit.errors import UserError
from glipkit.files import atomic, make_folder, remove_unfinished, write_text

#: Name of an empty file that says who wrote the files beside it.
OWN = '.written_by_glipkit'


def image_names(paths: Sequence[Path | None]) -> list[str]:
    """Names of images from the folder that holds them all on, ``'a/1.jpg'``; always with ``/``.

    Args:
        paths: Files; None for an image without one, which becomes ``'image_<its place>.jpg'``.
    """
    absolute = [None if path is None else os.path.abspath(path) for path in paths]
    known = [os.path.dirname(path) for path in absolute if path is not None]
    try:
        root = os.path.commonpath(known) if known else ''
    except ValueError:  # on several drives
        return [name_of(path, i) for i, path in enumerate(paths)]
    return [name_of(None, i) if path is None else Path(os.path.relpath(path, root)).as_posix()
            for i, path in enumerate(absolute)]


def name_of(path: Path | None, number: int) -> str:
    return f'image_{number}.jpg' if path is None else Path(path).as_posix()


class Writer:
    """One format. The first image makes the folder; at the end the files are put in place.

    That happens also after an interruption and after an error that has nothing to do with them,
    with what there was by then. Where the input or a place to write to is at fault, single files
    are as if they had not been begun; of one file per image, those that are whole stay. Only the
    detections of one image are in memory.

    Images may be asked for different classes: the result has all of them, each name once, in the
    order in which they came.

    Args:
        folder: Folder of the result.
        classes: Names that come first.

    Attributes:
        place: What the result is called: its file, or the folder.
    """

    file = ''
    #: Of formats with a file per image: the folder of these and their ending.
    files: tuple[str, str] | None = None

    def __init__(self, folder: Path, classes: Sequence[str] = ()) -> None:
        self.folder = Path(folder)
        self.place = self.folder / self.file if self.file else self.folder
        self._first = tuple(classes)
        self._ids: dict[str, int] = {}
        self._stack, self._begun, self.count = ExitStack(), False, 0
        self._used: set[str] = set()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names so far, in the order of their labels in the result."""
        return tuple(self._ids)

    def __enter__(self) -> Writer:
        return self

    def begin(self) -> None:
        """Makes the folder, so that there will be a result of no image, too.

        Raises:
            UserError: Nothing can be written there, or files of somebody else could be replaced.
        """
        if self._begun:
            return
        self._check_files()
        make_folder(self.folder)
        remove_unfinished(self.folder)
        if self.files:
            # From the first image on, so that a killed run can be repeated.
            make_folder(self.folder / self.files[0])
            write_text(self.folder / self.files[0] / OWN, '')
        self._begun = True
        self._know(self._first, None)
        self._open()

    def _check_files(self) -> None:
        """Refuses a folder in which a person's annotations may lie under the same names."""
        if not self.files:
            return
        folder, suffix = self.folder / self.files[0], self.files[1]
        if next(folder.rglob(f'*{suffix}'), None) is not None and not self._is_own(folder):
            raise UserError('a folder without annotations of others, which could be replaced',
                            f'{folder} with {suffix} files that glipkit did not write',
                            'pass another folder')

    def _is_own(self, folder: Path) -> bool:
        """Whether the files of a folder are of an earlier run."""
        return (folder / OWN).is_file()

    def add(self, found: Detections, name: str | None = None) -> None:
        """Writes the detections of one more image.

        Args:
            found: The detections.
            name: Name of the image, as `image_names` makes them; None takes its path.

        Raises:
            UserError: Nothing can be written there.
        """
        self.begin()
        self._know(found.classes, found.category_ids)
        # A class list may hold a name twice, and another image may have other classes.
        order = self.classes
        if found.classes != order:
            place = {one: label for label, one in enumerate(order)}
            labels = np.array([place[one] for one in found.names], dtype=np.int64)
            found = replace(found, labels=labels, classes=order, category_ids=None)
        self._write(found, name or name_of(found.path, found.image_id))
        self.count += 1

    def _know(self, classes: Sequence[str], category_ids: Sequence[int] | None) -> None:
        """Gives names that are new their category ids: the task's own ones, or from 1 on."""
        for label, name in enumerate(classes):
            if name not in self._ids:
                taken = set(self._ids.values())
                wanted = None if category_ids is None else int(category_ids[label])
                self._ids[name] = wanted if wanted is not None and wanted not in taken else \
                    max(taken, default=0) + 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: Any) -> None:
        if isinstance(error, (UserError, OSError)):
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            if self._begun:
                self._finish()

    def _stream(self) -> IO[str]:
        temporary = self._stack.enter_context(atomic(self.place))
        # As write_text: halves of surrogate pairs as JSON writes them.
        return self._stack.enter_context(temporary.open(
            'w', encoding='utf-8', errors='backslashreplace', newline=''))

    def _beside(self, name: str) -> Path:
        """The file of an image's name in the folder of `files`, and nowhere else."""
        folder, suffix = self.files or ('', '')
        parts = [part for part in PurePosixPath(name.replace('\\', '/')).parts
                 if part not in ('/', '..') and not re.fullmatch('[A-Za-z]:', part)]
        path = PurePosixPath(*(part.replace('\0', '_') for part in parts or ['image']))
        # Of a.jpg and a.png in one folder the second is a.png.txt.
        wanted, count = [str(path.with_suffix(suffix)), str(path) + suffix], 1
        while (free := next((one for one in wanted if one not in self._used), None)) is None:
            count += 1
            wanted = [str(path.with_name(f'{path.stem}_{count}{suffix}'))]
        self._used.add(free)
        return self.folder / folder / free

    def _open(self) -> None:
        """Opens what is written in one piece."""

    def _write(self, found: Detections, name: str) -> None:
        """Writes one image, whose labels count `classes`."""
        raise NotImplementedError

    def _finish(self) -> None:
        """Writes what comes at the end."""
