"""CSV: a row per box, with the columns of the usual tools."""
from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from glipkit.data.formats.box_sets.open_images import (
    image_name,
    is_open_images,
    read_class_names,
)
from glipkit.data.formats.box_sets.structures import (
    Box,
    BoxedImage,
    BoxSet,
    DataSet,
    ImageFinder,
    classes_by_name,
    image_size,
    in_order,
    name_of,
    part_folders,
    split_of,
)
from glipkit.errors import UserError

#: What a column may be called, the most telling first.
_NAMES = {
    'image': ('image', 'filename', 'file_name', 'image_name', 'image_path', 'path', 'file', 'img',
              'image_id', 'imageid'),
    'name': ('name', 'class', 'class_name', 'label_name', 'category', 'category_name', 'label',
             'labelname'),
    'x1': ('xmin', 'x_min', 'x1', 'left', 'x1_px', 'bbox_x1'),
    'y1': ('ymin', 'y_min', 'y1', 'top', 'y1_px', 'bbox_y1'),
    'x2': ('xmax', 'x_max', 'x2', 'right', 'x2_px', 'bbox_x2'),
    'y2': ('ymax', 'y_max', 'y2', 'bottom', 'y2_px', 'bbox_y2'),
    'x': ('x', 'bbox_x', 'left', 'xmin'), 'y': ('y', 'bbox_y', 'top', 'ymin'),
    'w': ('w', 'bbox_width', 'bbox_w', 'width'), 'h': ('h', 'bbox_height', 'bbox_h', 'height'),
    'image_width': ('image_width', 'img_width', 'width'),
    'image_height': ('image_height', 'img_height', 'height'),
    'ignore': ('difficult', 'iscrowd', 'isgroupof'),
}
_CORNERS, _SIDES = ('x1', 'y1', 'x2', 'y2'), ('x', 'y', 'w', 'h')
EXPECTED = ('a table with a header: image (or filename, path), class (or label, name), and xmin, '
            'ymin, xmax, ymax or x, y, width, height; or without one: path,x1,y1,x2,y2,class')
_DELIMITERS = ',;\t'


@dataclass(frozen=True)
class Columns:
    """Where a table has what.

    Args:
        place: Key of `_NAMES` -> number of its column.
        count: Number of columns.
        delimiter: What stands between them.
        header: Whether the first row names them.
        open_images: Whether it is one of Open Images, with codes and shares.
    """
    place: Mapping[str, int]
    count: int
    delimiter: str
    header: bool
    open_images: bool = False

    @property
    def corners(self) -> bool:
        """Whether boxes are two corners, and not a corner and two sides."""
        return 'x2' in self.place


def read_table(files: Mapping[str, Path], root: Path) -> DataSet:
    """Reads one table per part.

    Boxes are pixels with exclusive right and bottom edge. A row with an image and nothing else is
    an image without boxes. Images are looked for from the table's folder on.

    Args:
        files: ``'train'``, ``'val'``, ``'test'`` -> the table.
        root: Folder of the data set.

    Raises:
        UserError: A table without the columns that are needed.
    """
    finder = ImageFinder(root)
    parts = {part: _read(path, root, finder) for part, path in files.items()}
    return DataSet('csv', parts, classes_by_name(parts))


def tables_of(root: Path) -> dict[str, Path]:
    """The tables of a folder that hold boxes, by their part.

    Raises:
        UserError: Several that do not say which part they are.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(root.glob('*.csv')):
        if _columns_or_none(path) is not None:
            found.setdefault(split_of(path.stem) or '', []).append(path)
    for part, folder in part_folders(root).items():
        for path in sorted(folder.glob('*.csv')):
            if _columns_or_none(path) is not None:
                found.setdefault(part, []).append(path)
    for part, paths in found.items():
        if len(paths) > 1 or (not part and len(found) > 1):
            others = [path for paths in found.values() for path in paths]
            raise UserError('one table, or train.csv, val.csv and test.csv',
                            f'{root} with {", ".join(p.name for p in others)}',
                            'pass the file that you mean')
    return in_order({part or 'train': paths[0] for part, paths in found.items()})


def find_columns(path: Path) -> Columns:
    """The columns of a table.

    Raises:
        UserError: It cannot be read, or has others.
    """
    try:
        with path.open(encoding='utf-8-sig', newline='') as file:
            line = next((line for line in file if line.strip()), '')
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else 'not UTF-8'
        raise UserError(EXPECTED, f'{path} ({reason})', 'check the file') from error
    delimiter = max(_DELIMITERS, key=line.count)
    cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    lower = [cell.lower().replace(' ', '_') for cell in cells]
    place = {key: lower.index(name) for key, names in _NAMES.items()
             if (name := next((name for name in names if name in lower), None))}
    whole = all(key in place for key in ('image', 'name'))
    if whole and all(key in place for key in _CORNERS):
        return Columns({key: value for key, value in place.items() if key not in _SIDES},
                       len(cells), delimiter, True, is_open_images(lower))
    if whole and all(key in place for key in _SIDES):
        # 'width' is the box's here; the image's has a name of its own.
        kept = {key: value for key, value in place.items() if key not in _CORNERS
                and not (key.startswith('image_') and value in (place['w'], place['h']))}
        return Columns(kept, len(cells), delimiter, True)
    if len(cells) == 6 and (all(map(_is_number, cells[1:5])) or not any(cells[1:])):
        return Columns(dict(image=0, x1=1, y1=2, x2=3, y2=4, name=5), 6, delimiter, False)
    raise UserError(EXPECTED, f'{path} with the columns {", ".join(cells)[:200] or "none"}',
                    'rename its columns')


def _columns_or_none(path: Path) -> Columns | None:
    try:
        return find_columns(path)
    except UserError:
        return None


def _read(path: Path, root: Path, finder: ImageFinder) -> BoxSet:
    columns = find_columns(path)
    own = BoxSet('csv', path, root)
    names = read_class_names(path, root) if columns.open_images else {}
    images: dict[str, BoxedImage] = {}
    for where, row in _rows(own, path, columns):
        named = row[columns.place['image']].strip()
        if not named:
            own.note('broken_record', where, 'a row without an image')
            continue
        image = images.get(named)
        if image is None:
            found = finder.find(image_name(named) if columns.open_images else named, path)
            image = images[named] = BoxedImage(found, where, _size(row, columns, found))
        box = _box(own, row, columns, where)
        if box is not None:
            image.boxes.append(_of_shares(box, names, image.size) if columns.open_images else box)
    own.images += images.values()
    return own


def _rows(own: BoxSet, path: Path, columns: Columns) -> Iterator[tuple[str, list[str]]]:
    """Rows of the right length with their places."""
    place = name_of(path, own.root)
    with path.open(encoding='utf-8-sig', errors='surrogateescape', newline='') as file:
        reader = csv.reader(file, delimiter=columns.delimiter)
        header, end = columns.header, 0
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                own.note('broken_record', f'{place}:{reader.line_num}', error)
                continue
            if row is None:
                return
            where, end = f'{place}:{end + 1}', reader.line_num
            if not any(cell.strip() for cell in row):
                continue
            if header:
                header = False
            elif len(row) != columns.count:
                own.note('bad_columns', where, f'{len(row)} columns instead of {columns.count}')
            else:
                yield where, row


def _box(own: BoxSet, row: list[str], columns: Columns, where: str) -> Box | None:
    keys = _CORNERS if columns.corners else _SIDES
    cells = [row[columns.place[key]].strip() for key in keys]
    name = row[columns.place['name']].strip()
    if not any(cells):  # an image without boxes
        return None
    if not name:
        own.note('broken_record', where, 'a box without a class')
        return None
    values = [float(cell) if _is_number(cell) else math.nan for cell in cells]
    if not all(map(math.isfinite, values)):
        own.note('bad_box', where, cells)
        return None
    if columns.corners:
        x1, y1, x2, y2 = values
        values = [x1, y1, x2 - x1, y2 - y1]
    ignore = row[columns.place['ignore']].strip() if 'ignore' in columns.place else ''
    return Box(name, values, where, ignore.lower() in ('1', 'true'))


def _of_shares(box: Box, names: Mapping[str, str], size: tuple[int | None, int | None]) -> Box:
    """A box of Open Images in pixels; where the image is missing, which is found, of one pixel."""
    sides = [side or 1 for side in size] * 2
    return box._replace(key=names.get(box.key, box.key),
                        xywh=[value * side for value, side in zip(box.xywh, sides)])


def _size(row: list[str], columns: Columns, image: Path) -> tuple[int | None, int | None]:
    cells = [row[columns.place[key]].strip() for key in ('image_width', 'image_height')
             if key in columns.place]
    if len(cells) == 2 and all(cell.isdigit() and int(cell) for cell in cells):
        return int(cells[0]), int(cells[1])
    return image_size(image) or (None, None)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
