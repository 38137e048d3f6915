"""Detections of many images as files, written while they are made."""
from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from glipkit.apis.detections import Detections
from glipkit.apis.prediction_writers import image_names, open_writer
from glipkit.errors import UserError
from glipkit.files import make_folder, remove_unfinished, write_encoded

QUALITY = 92


class PredictionFiles:
    """The files of `prediction_writers` and a picture per image, as a context.

    Only the detections of one image are in memory at a time. The first image makes the folder;
    `prediction_writers.Writer` says what is there after an error.

    Args:
        folder: Folder of the files; None writes nothing.
        forms: Formats to write, as `prediction_writers.open_writer` takes them.
        pictures: Whether to draw the detections.
        paths: All images that may come, by the place that ``image_id`` of their detections tells;
            their names begin at the folder that holds them all. None names each by its own path.
    """

    def __init__(self, folder: Path | None, forms: Sequence[str] = (), pictures: bool = False,
                 paths: Sequence[Path | None] | None = None) -> None:
        self._folder, self._pictures = folder, pictures
        self._names = None if paths is None else image_names(paths)
        self._stack = ExitStack()
        self._writers = [] if folder is None else [
            self._stack.enter_context(open_writer(form, folder)) for form in dict.fromkeys(forms)]
        self._begun = self._made = False
        self._used = set() if folder is None else names_beside(folder, paths or ())

    def __enter__(self) -> PredictionFiles:
        return self

    def add(self, found: Detections) -> None:
        """Writes the detections of one more image, which has a path.

        Raises:
            UserError: Nothing can be written there.
        """
        if self._folder is None:
            return
        if not self._begun:
            self._made = not self._folder.exists()
            make_folder(self._folder)
            remove_unfinished(self._folder)
            self._begun = True
        name = None if self._names is None else self._names[found.image_id]
        for writer in self._writers:
            writer.add(found, name)
        if self._pictures:
            picture = found.plot()
            write_encoded(self._folder / free_name(found.path, self._used),
                          lambda file: picture.save(file, 'JPEG', quality=QUALITY))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: Any) -> None:
        self._stack.__exit__(kind, error, trace)
        if self._made and isinstance(error, (UserError, OSError)):
            with suppress(OSError):  # there are pictures in it
                self._folder.rmdir()


def names_beside(folder: Path, images: Sequence[Path | None]) -> set[str]:
    """The names in a folder that no result may have, as `free_name` counts: images are there."""
    home = folder.resolve()
    return {f'{path.stem}.jpg' for path in images
            if path is not None and path.parent.resolve() == home}


def free_name(image: Path, used: set[str]) -> str:
    """A picture's file name; images of one name in two folders do not overwrite each other."""
    name, count = f'{image.stem}.jpg', 1
    while name in used:
        count += 1
        name = f'{image.stem}_{count}.jpg'
    used.add(name)
    return name
