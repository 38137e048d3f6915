"""Detections of many images as files, written while they are made."""
from __future__ import annotations

import csv
import json
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

from glipkit.apis.detections import ROW_KEYS, Detections
from glipkit.errors import UserError
from glipkit.files import atomic, make_folder, remove_unfinished, write_encoded

QUALITY = 92


class PredictionFiles:
    """``predictions.json``, ``predictions.csv`` and a picture per image, as a context.

    Only the detections of one image are in memory at a time. The first image makes the folder;
    table and list are put in place at the end, also after an interruption and after an error that
    has nothing to do with them, with what there was by then. They are as if they had not been begun
    where the input or a place to write to is at fault.

    Args:
        folder: Folder of the files; None writes nothing.
        as_json: Whether to write the list.
        as_csv: Whether to write the table.
        pictures: Whether to draw the detections.
    """

    def __init__(self, folder: Path | None, as_json: bool = False, as_csv: bool = False,
                 pictures: bool = False) -> None:
        self._folder, self._json, self._csv, self._pictures = folder, as_json, as_csv, pictures
        self._stack = ExitStack()
        self._list: IO[str] | None = None
        self._table: csv.DictWriter | None = None
        self._begun = self._made = False
        self._used: set[str] = set()

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
            self._begin(self._folder)
        if self._list is not None:
            block = json.dumps(_as_json(found), indent=1, ensure_ascii=False)
            comma = ',' if self._used else ''
            self._list.write(f'{comma}\n ' + block.replace('\n', '\n '))
        if self._table is not None:
            self._table.writerows(found.to_rows())
        name = free_name(found.path, self._used)
        if self._pictures:
            picture = found.plot()
            write_encoded(self._folder / name,
                          lambda file: picture.save(file, 'JPEG', quality=QUALITY))

    def _begin(self, folder: Path) -> None:
        self._made = not folder.exists()
        make_folder(folder)
        remove_unfinished(folder)
        self._begun = True
        if self._json:
            self._list = self._open(folder / 'predictions.json')
            self._list.write('[')
        if self._csv:
            self._table = csv.DictWriter(self._open(folder / 'predictions.csv'), ROW_KEYS,
                                         lineterminator='\n')
            self._table.writeheader()

    def _open(self, path: Path) -> IO[str]:
        temporary = self._stack.enter_context(atomic(path))
        # As write_text: halves of surrogate pairs as JSON writes them.
        return self._stack.enter_context(temporary.open(
            'w', encoding='utf-8', errors='backslashreplace', newline=''))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: Any) -> None:
        if isinstance(error, (UserError, OSError)):
            self._stack.__exit__(kind, error, trace)
            if self._made:
                with suppress(OSError):  # there are pictures in it
                    self._folder.rmdir()
            return
        with self._stack:
            if self._list is not None:
                self._list.write('\n]\n')


def _as_json(one: Detections) -> dict[str, Any]:
    height, width = one.size
    return {'image': str(one.path), 'width_px': width, 'height_px': height,
            'detections': [{'box_xyxy_px': [round(float(v), 2) for v in box],
                            'score': round(score, 5), 'label': label, 'name': name}
                           for box, score, label, name in one]}


def free_name(image: Path, used: set[str]) -> str:
    """A picture's file name; images of one name in two folders do not overwrite each other."""
    name, count = f'{image.stem}.jpg', 1
    while name in used:
        count += 1
        name = f'{image.stem}_{count}.jpg'
    used.add(name)
    return name
