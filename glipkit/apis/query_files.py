"""What a command asks, from its line or from a file, as one `Query`."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glipkit.apis.asking import as_query, split_names
from glipkit.apis.class_lists import names_file, read_classes
from glipkit.data.formats.box_sets.structures import read_text
from glipkit.data.formats.box_sets.yolo import read_yaml
from glipkit.data.formats.reading import read_json
from glipkit.errors import UserError
from glipkit.text.query import Query

WHAT = ('a query: classes as a list, or as names with other names; and perhaps negative_classes, '
        'exclusive, combine')
KEYS = ('classes', 'negative_classes', 'exclusive', 'combine')


def read_query(text: str, negative_classes: str | None = None,
               exclusive: Sequence[str] = ()) -> Query:
    """The question of a command.

    Args:
        text: ``--classes``: whatever `read_classes` takes, or a YAML or JSON file with ``classes``
            (a list, or class name -> list of its other names) and perhaps ``negative_classes``
            (a list), ``exclusive`` (a list of lists) and ``combine`` ('max' or 'mean').
        negative_classes: ``--negative-classes``, as `read_classes` takes it; None for no more.
        exclusive: Every ``--exclusive``, names between commas.

    Raises:
        UserError: There is no such file, or something in it that cannot be asked.
    """
    path = names_file(text)
    content = None if path is None else _content(path)
    if content is None:
        query = Query.for_classes(read_classes(text))
    else:
        try:
            query = as_query(_checked(content)).with_more(
                content.get('negative_classes') or (), content.get('exclusive') or ())
            query = Query.for_classes(query.classes, **{
                **query.parts, 'combine': content.get('combine') or 'max'})
        except UserError as error:
            raise UserError(error.expected, f'{error.got}, in {path}', error.fix) from error
    return query.with_more(read_negatives(negative_classes), read_groups(exclusive))


def names_combine(path: Path) -> bool:
    """Whether a query file says how the names of a class are combined."""
    return bool((_content(path) or {}).get('combine'))


def read_negatives(text: str | None) -> list[str]:
    """The names of a command's ``--negative-classes``; none for None."""
    return [] if text is None else read_classes(text)


def read_groups(texts: Sequence[str]) -> list[list[str]]:
    """The groups of a command's ``--exclusive``, each with names between commas."""
    return [split_names(text) for text in texts]


def _content(path: Path) -> Mapping[str, Any] | None:
    """What a query file holds; None for a file of another kind."""
    suffix = path.suffix.lower()
    if suffix not in ('.yaml', '.yml', '.json') or not path.is_file():
        return None
    content = read_json(path, WHAT) if suffix == '.json' else read_yaml(
        path, f'{WHAT}; or a YOLO data.yaml')
    if not isinstance(content, dict) or 'classes' not in content:
        return None
    if suffix == '.json':
        json.loads(read_text(path, WHAT), object_pairs_hook=lambda pairs: _each_once(pairs, path))
    return content


def _each_once(pairs: Sequence[tuple[str, Any]], path: Path) -> dict[str, Any]:
    """An object of a JSON file, of whose equal keys all but one would be lost.

    Raises:
        UserError: A key twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UserError(WHAT, f'{path} ({twice!r} stands there twice)', 'correct the file')
    return found


def _checked(content: Mapping[str, Any]) -> Any:
    """The classes of a query file, in a form that calls take."""
    strange = [key for key in content if key not in KEYS]
    if strange:
        raise UserError(WHAT, f'{strange[0]!r}', f'spell it as one of {", ".join(KEYS)}')
    classes = content['classes']
    if isinstance(classes, dict):  # a YAML name with nothing behind it has an empty text
        return {name: others or () for name, others in classes.items()}
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise UserError('classes as a list of names, or as names with lists of other names',
                        repr(classes)[:80], 'write e.g. classes: {cup: [mug], person: []}')
    return classes
