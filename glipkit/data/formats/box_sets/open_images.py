"""Tables of Open Images: images and classes by their codes, boxes as shares of the image."""
from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

from glipkit.data.formats.box_sets.structures import read_text
from glipkit.errors import UserError

_LISTS = ('*class-descriptions*.csv', '*/*class-descriptions*.csv')


def is_open_images(columns: Collection[str]) -> bool:
    """Whether a header, in lower case, is that of its boxes."""
    return {'imageid', 'labelname', 'xmin', 'xmax'} <= set(columns)


def image_name(code: str) -> str:
    """File of an image: ``'000002b66c9c498e'`` -> ``'000002b66c9c498e.jpg'``."""
    return code if Path(code).suffix else f'{code}.jpg'


def read_class_names(table: Path, root: Path) -> dict[str, str]:
    """Code of a class -> its name, of ``class-descriptions-boxable.csv`` near a table.

    Raises:
        UserError: There is none; a code such as ``/m/01g317`` is no word that a model knows.
    """
    for folder in dict.fromkeys((table.parent, root)):
        for pattern in _LISTS:
            for path in sorted(folder.glob(pattern)):
                rows = csv.reader(read_text(path, 'names of classes').splitlines())
                return {row[0].strip(): row[1].strip() for row in rows if len(row) == 2}
    raise UserError('class-descriptions-boxable.csv, the names of Open Images',
                    f'{table} without it', 'put it beside the table')
