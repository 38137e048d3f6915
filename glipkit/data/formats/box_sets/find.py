"""Which format a folder is in, by its own look, with the reason."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from glipkit.data.formats.box_sets.coco_folder import find_coco_files
from glipkit.data.formats.box_sets.hub_data import is_saved
from glipkit.data.formats.box_sets.labelme import is_labelme, read_labelme
from glipkit.data.formats.box_sets.structures import DataSet, files_below, part_folders
from glipkit.data.formats.box_sets.table import find_columns, read_table, tables_of
from glipkit.data.formats.box_sets.voc import check_parts, is_voc, read_voc
from glipkit.data.formats.box_sets.yolo import NAME_LISTS, read_yolo
from glipkit.errors import UserError

EXPECTED = '''a folder with one of: train/_annotations.coco.json or another COCO json (Roboflow,
COCO); data.yaml with 'names', or classes.txt and labels/*.txt (YOLO); *.xml with <annotation>
(Pascal VOC); *.json with 'shapes' (labelme); *.csv with image, class and xmin, ymin, xmax, ymax;
dataset_info.json (Hugging Face datasets)'''.replace('\n', ' ')
_FEW = 5


@dataclass(frozen=True)
class Found:
    """What a data set was recognised as.

    Args:
        form: ``'coco'``, ``'yolo'``, ``'voc'``, ``'labelme'``, ``'csv'`` or ``'datasets'``.
        path: What its reader takes.
        why: What told it.
        files: For COCO and tables: part -> file.
        also: Other formats that the folder could be read as.
    """
    form: str
    path: Path
    why: str
    files: Mapping[str, Path] = field(default_factory=dict)
    also: tuple[str, ...] = ()

    @property
    def root(self) -> Path:
        """Folder of the data set."""
        return self.path if self.path.is_dir() else self.path.parent


def find_data_set(path: Path) -> Found | None:
    """Recognises a folder, or the file of one that lists it; None for another kind of file.

    Args:
        path: A folder, a YOLO yaml, or a table.

    Raises:
        UserError: A folder in which nothing of the kind is; names what was looked for.
    """
    if not path.is_dir():
        return _of_file(path)
    found = [one for look in (_coco, _yolo, _voc, _labelme, _table, _saved)
             if (one := look(path)) is not None]
    if not found:
        inside = sorted(p.name for p in path.iterdir())
        raise UserError(EXPECTED, f'{path} with {", ".join(inside[:_FEW]) or "nothing"}'
                        + (f' and {len(inside) - _FEW} more' if len(inside) > _FEW else ''),
                        'check the folder')
    first = found[0]
    also = tuple(f'{one.form} ({one.why})' for one in found[1:])
    return Found(first.form, first.path, first.why, first.files, also)


def read_boxes(found: Found) -> DataSet:
    """Reads a data set that is no COCO json already.

    Raises:
        UserError: Nothing of it can be read.
    """
    readers = {'yolo': lambda: read_yolo(found.path), 'voc': lambda: read_voc(found.path),
               'labelme': lambda: read_labelme(found.path),
               'csv': lambda: read_table(found.files, found.root)}
    data = readers[found.form]()
    check_parts(data)
    return data


def _of_file(path: Path) -> Found | None:
    suffix = path.suffix.lower()
    if not path.is_file():
        return None
    if suffix in ('.yaml', '.yml'):
        return Found('yolo', path, f"{path.name} with 'names'") if _has_names(path) else None
    if suffix == '.csv':
        find_columns(path)
        return Found('csv', path, path.name, {'train': path})
    return None


def _coco(root: Path) -> Found | None:
    files = find_coco_files(root)
    names = ', '.join(str(path.relative_to(root)) for path in files.values())
    return Found('coco', root, names, files) if files else None


def _yolo(root: Path) -> Found | None:
    named = [path for path in sorted([*root.glob('*.yaml'), *root.glob('*.yml')])
             if _has_names(path)]
    usual = [path for path in named if path.stem in ('data', 'dataset')]
    if len(usual or named) > 1:
        raise UserError("one yaml with 'names'",
                        f'{root} with {", ".join(path.name for path in usual or named)}',
                        'pass the file that you mean')
    if usual or named:
        path = (usual or named)[0]
        return Found('yolo', path, f"{path.name} with 'names'")
    for folder in (root, root / 'labels'):
        for name in NAME_LISTS:
            if (folder / name).is_file() and any(
                    file.name not in NAME_LISTS for file in files_below(root, '.txt')):
                return Found('yolo', folder / name, f'{name} and text files of boxes')
    return None


def _has_names(path: Path) -> bool:
    """Whether a yaml has the entry ``names``, without building what it holds."""
    try:
        with path.open(encoding='utf-8-sig') as file:
            node = yaml.compose(file, yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return False
    return isinstance(node, yaml.MappingNode) and any(
        key.value == 'names' for key, _ in node.value)


def _voc(root: Path) -> Found | None:
    files = files_below(root, '.xml')
    first = next((path for path in files[:_FEW] if is_voc(path)), None)
    return None if first is None else Found(
        'voc', root, f'{first.relative_to(root)} with <annotation>, of {len(files)} xml files')


def _labelme(root: Path) -> Found | None:
    folders = [root, *part_folders(root).values()]
    for path in [path for folder in folders for path in sorted(folder.glob('*.json'))[:_FEW]] or \
            files_below(root, '.json')[:_FEW]:
        if is_labelme(path):
            return Found('labelme', root, f"{path.relative_to(root)} with 'shapes'")
    return None


def _table(root: Path) -> Found | None:
    files = tables_of(root)
    names = ', '.join(str(path.relative_to(root)) for path in files.values())
    return Found('csv', root, names, files) if files else None


def _saved(root: Path) -> Found | None:
    return Found('datasets', root, 'dataset_info.json') if is_saved(root) else None
