"""Checks that the classes, groups and images of samples are in the annotation file."""
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from glipkit.data.formats.reading import read_json
from glipkit.errors import UserError
from glipkit.text.query import Query
from glipkit.text.splits.open_vocabulary import SPLITS, class_split


def category_ids(query: Query, id_of_name: Mapping[str, int], path: str) -> np.ndarray:
    """Category id of each name that a sample was asked for, int64.

    Args:
        query: Query of the sample.
        id_of_name: Classes of the annotation file.
        path: Path of that file, for the error.

    Raises:
        UserError: A caption, or a name that the file lacks.
    """
    names = query.classes or ()
    unknown = [repr(query.caption)] if query.is_caption else [
        name for name in names if name not in id_of_name]
    if unknown:
        raise UserError(f'class names of {path} as text of the samples', ', '.join(unknown[:5]),
                        'spell them as in the annotation file')
    return np.asarray([id_of_name[name] for name in names], dtype=np.int64)


class AskedIds:
    """Category ids of what samples ask for; samples that ask the same share one array.

    Args:
        id_of_name: The classes of the annotation file.
        path: That file, for errors.
    """

    def __init__(self, id_of_name: Mapping[str, int], path: str) -> None:
        self._id_of_name, self._path = dict(id_of_name), path
        self._last: tuple[Query, np.ndarray] | None = None

    def of(self, query: Query) -> np.ndarray:
        """Category id of each name, int64; see `category_ids`."""
        if self._last is None or self._last[0] != query:
            self._last = query, category_ids(query, self._id_of_name, self._path)
        return self._last[1]


def asked_classes(asked: Iterable[np.ndarray], every: Iterable[int]) -> list[int]:
    """Ids of the classes that some sample asks for, ascending; without samples all of them.

    A data set may ask for a part of the classes of its file, and what it never asks for cannot be
    found.

    Args:
        asked: Ids that each sample asks for.
        every: Ids of all classes of the file.
    """
    different = {id(ids): ids for ids in asked}.values()  # most samples share one array
    return sorted({i for ids in different for i in ids.tolist()} if different else every)


def share_of_classes(count: int, total: int) -> str:
    """How many classes are scored, for the line that says what a number is."""
    return f'{count} classes' if count == total else f'{count} of {total} classes'


def how_asked(groups: Mapping[str, Sequence[int]], asked: Iterable[int], fewest: int) -> str:
    """How groups of classes were asked, for the line that says what a number is.

    A novel class among base classes scores lower than among novel ones alone, so that a number
    means little without this: 'generalised' is what open-vocabulary benchmarks report.

    Args:
        groups: Group -> category ids.
        asked: Ids that some sample asks for.
        fewest: Number of classes of the sample that asks for the fewest.

    Returns:
        The beginning of that line, with a comma; '' where there are fewer than two groups.

    >>> how_asked({'base': [1, 2], 'novel': [3]}, [1, 2, 3], 3)
    'generalised (base 2, novel 1 asked at once), '
    >>> how_asked({'base': [1, 2], 'novel': [3]}, [3], 1)
    'not generalised (base 0 of 2, novel 1 of 1 asked), '
    """
    if len(groups) < 2:
        return ''
    asked = set(asked)
    whole = all(asked.issuperset(ids) for ids in groups.values())
    if not whole:
        parts = ', '.join(f'{group} {len(asked & set(ids))} of {len(set(ids))}'
                          for group, ids in groups.items())
        return f'not generalised ({parts} asked), '
    sizes = ', '.join(f'{group} {len(set(ids))}' for group, ids in groups.items())
    if fewest < len(asked):
        return f'not generalised ({sizes} asked in turns), '
    return f'generalised ({sizes} asked at once), '


def finite_scores(scores: np.ndarray, image_id: object) -> np.ndarray:
    """The scores of an image's detections, after a check that they are finite.

    Raises:
        UserError: A score is not finite: ranked among others it would make every metric wrong.
    """
    if not np.isfinite(scores).all():
        raise UserError('finite scores', f'{scores[~np.isfinite(scores)][0]} for img_id {image_id}',
                        'look at the checkpoint: its training has probably diverged')
    return scores


def read_groups(groups: Mapping[str, Sequence[str]] | str | None, id_of_name: Mapping[str, int],
                path: str) -> dict[str, list[int]]:
    """Named groups of classes (base and novel, seen and unseen) as category ids.

    Args:
        groups: Name -> class names, the path of a JSON file that holds it, or the name of a
            benchmark ('ov-coco', 'ov-lvis') whose base and novel classes are meant.
        id_of_name: Classes of the annotation file.
        path: Path of that file, for the error.

    Raises:
        UserError: Another structure, or a name that the annotation file lacks.
    """
    where = 'groups'
    if isinstance(groups, str) and groups in SPLITS:
        where, groups = groups, class_split(groups).groups
    if isinstance(groups, (str, os.PathLike)):
        where, groups = str(groups), read_json(groups, 'a JSON file {"group": [names], ...}')
    if not isinstance(groups or {}, Mapping):
        raise UserError('groups as {"name": [class names], ...}', f'{where}: {groups!r}',
                        'correct the structure')
    result = {}
    for group, names in (groups or {}).items():
        if not isinstance(names, (list, tuple)):
            raise UserError('a list of class names per group', f'{where}: {group}: {names!r}',
                            'list the names')
        unknown = [name for name in names if name not in id_of_name]
        if unknown:
            raise UserError(f'groups of classes that {path} has',
                            f'{where}: {group}: {unknown[:5]}', 'spell them as in that file')
        result[group] = [id_of_name[name] for name in dict.fromkeys(names)]
    return result


def known_image(image_id: object, known: Mapping[int, object], path: str) -> int:
    """The id of a sample's image, after a check that the annotation file has it.

    Raises:
        UserError: It has not. Raised for each image: at the end of a distributed run the other
            processes would wait for ever.
    """
    if image_id not in known:
        raise UserError(f'images of {path}', f'img_id {image_id!r}',
                        'evaluate on the annotation file that the test set was read from')
    return image_id
