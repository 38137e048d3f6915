"""Class names as a command takes them: in the line itself, or in a file."""
from __future__ import annotations

from pathlib import Path

from glipkit.apis.asking import split_names
from glipkit.data.formats.box_sets.yolo import class_names, read_yaml
from glipkit.data.formats.coco_json import read_coco_json
from glipkit.data.formats.reading import read_json
from glipkit.errors import UserError
from glipkit.text.bank import read_names

WHAT = ('a file of class names: a text with a name a line, a YOLO data.yaml, a COCO json, or a '
        'json list')
_SUFFIXES = ('.txt', '.names', '.yaml', '.yml', '.json')


def read_classes(text: str) -> list[str]:
    """The names of a command's ``--classes``.

    Args:
        text: Names between commas (`split_names`); or ``@`` and the path of a file; or the path
            of a file that ends in .txt, .names, .yaml, .yml or .json. A text has a name a line (as
            `read_names` takes them), of a YOLO yaml ``names`` count, of a COCO json its categories
            in the order of their ids.

    Raises:
        UserError: There is no such file, or none of these in it.
    """
    path = names_file(text)
    return split_names(text) if path is None else _of_file(path)


def names_file(text: str) -> Path | None:
    """The file that a command's ``--classes`` names, see `read_classes`; None for names."""
    if text.startswith('@'):
        return Path(text[1:])
    path = Path(text)
    try:
        is_file = path.suffix.lower() in _SUFFIXES and path.is_file()
    except (OSError, ValueError):  # a list of names may be longer than any path
        is_file = False
    # One word that ends so is a path with a mistake in it: nothing in a picture is called so.
    is_file = is_file or ',' not in text and text.strip().lower().endswith(_SUFFIXES)
    return path if is_file else None


def _of_file(path: Path) -> list[str]:
    suffix = path.suffix.lower()
    if not path.is_file():
        raise UserError(WHAT, f'no file {path}', 'check the path')
    if suffix in ('.yaml', '.yml'):
        return list(class_names(read_yaml(path).get('names'), path).values())
    if suffix != '.json':
        return list(read_names(path)[0])
    names = read_json(path, WHAT)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        names = list(read_coco_json(path, need_annotations=False).real_classes.values())
    if not names:
        raise UserError(WHAT, f'{path} without a name', 'write one')
    return names
