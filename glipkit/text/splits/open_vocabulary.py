"""Class lists of the open-vocabulary benchmarks: what a detector trains on, and what is new.

OV-COCO: 48 base and 17 novel of the 80 COCO classes (Zareian et al., CVPR 2021); the other 15 are
not used. OV-LVIS: the 866 frequent and common classes of LVIS v1 are base, the 337 rare ones novel
(Gu et al., ICLR 2022). A test asks for all of them at once: the generalised protocol.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from glipkit.errors import UserError

#: Split -> its file beside this one, and the letter of a line -> its groups.
_FILES: Mapping[str, tuple[str, Mapping[str, tuple[str, ...]]]] = {
    'ov-coco': ('ov_coco.txt', {'b': ('base', ), 'n': ('novel', )}),
    'ov-lvis': ('lvis_v1.txt', {'f': ('base', 'frequent'), 'c': ('base', 'common'),
                                'r': ('novel', 'rare')})}
#: Names of all splits.
SPLITS = tuple(_FILES)
#: Group of all classes.
ALL = 'all'


@dataclass(frozen=True)
class ClassSplit:
    """The classes of a benchmark and their groups.

    Attributes:
        name: One of `SPLITS`.
        classes: All classes that a test asks for, in the order of their category ids.
        members: Group -> its classes in that order: 'base', 'novel', for LVIS also 'rare', 'common'
            and 'frequent', and 'all'.
    """
    name: str
    classes: tuple[str, ...]
    members: Mapping[str, tuple[str, ...]]

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Base and novel classes, as metrics take groups."""
        return {group: self.members[group] for group in ('base', 'novel')}


@cache
def class_split(name: str) -> ClassSplit:
    """The split of this name.

    Raises:
        UserError: There is none.
    """
    if name not in _FILES:
        raise UserError(f'a split: {", ".join(SPLITS)}', repr(name), 'choose one of these')
    file, groups_of = _FILES[name]
    text = (Path(__file__).parent / file).read_text(encoding='utf-8')
    rows = [line.split(' ', 1) for line in text.splitlines()]
    members: dict[str, list[str]] = {}
    for letter, label in rows:
        for group in groups_of[letter]:
            members.setdefault(group, []).append(label)
    classes = tuple(label for _, label in rows)
    return ClassSplit(name, classes, {**{group: tuple(labels) for group, labels in members.items()},
                                      ALL: classes})


def split_classes(address: str) -> tuple[str, ...]:
    """The classes behind an address such as 'ov-coco/base', as ``metainfo`` of configs has it.

    Raises:
        UserError: An unknown split, or a group that it lacks.

    >>> len(split_classes('ov-lvis/rare'))
    337
    """
    name, _, group = address.partition('/')
    split = class_split(name)
    if group not in split.members:
        raise UserError(f'a group of {name}: {", ".join(split.members)}', repr(address),
                        f'write e.g. {name}/base')
    return split.members[group]
