"""Label maps of many images as files, written while they are made."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glipkit.apis.prediction_files import QUALITY, free_name, names_beside
from glipkit.apis.segmentation import Segmentation
from glipkit.files import make_folder, remove_unfinished, write_encoded, write_text


class SegmentationFiles:
    """A label PNG per image, perhaps a picture, and ``classes.txt``, whose lines labels count.

    Labels have 8 bits, or 16 for more than 255 classes. The first image makes the folder.

    Args:
        folder: Folder of the files.
        pictures: Whether to draw the classes on the images too.
        paths: All images that may come, none of which is overwritten.
    """

    def __init__(self, folder: Path, pictures: bool = False,
                 paths: Sequence[Path | None] = ()) -> None:
        self._folder, self._pictures = folder, pictures
        self._used, self._begun = names_beside(folder, paths), False

    def add(self, found: Segmentation) -> Path:
        """Writes the labels of one more image, which has a path; returns the PNG.

        Raises:
            UserError: Nothing can be written there.
        """
        if not self._begun:
            self._begun = True
            make_folder(self._folder)
            remove_unfinished(self._folder)
            write_text(self._folder / 'classes.txt', ''.join(f'{one}\n' for one in found.classes))
        name = free_name(found.path, self._used)
        path = (self._folder / name).with_suffix('.png')
        labels = found.label_image()
        write_encoded(path, lambda file: labels.save(file, 'PNG'))
        if self._pictures:
            picture = found.plot()
            write_encoded(self._folder / name,
                          lambda file: picture.save(file, 'JPEG', quality=QUALITY))
        return path
