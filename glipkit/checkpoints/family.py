"""What a family of models says about its checkpoints, and the register of all families.

A family is a folder beside this file. Its package registers one :class:`Family` when it is
imported. The general modules work with that alone and know no method. A model of no family has one
layout: its own state dict.
"""
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

OWN = 'glipkit'
"""Name of our own layout: the keys of the model's state dict."""

BACKBONE, TEXT_ENCODER, PROPOSALS = 'backbone', 'text encoder', 'proposal network'

ADDED_TEXT = 'text'
"""Entry of a checkpoint's source: the digest of the file that its text encoder was taken from."""


@dataclass
class Checkpoint:
    """A checkpoint in our layout, with what is needed to write its former layout again.

    Args:
        state: Keys of our layout and their tensors.
        layout: Layout of the file that was read.
        source: Origin of a file that once was in another layout: that layout as ``layout``, the
            ``prefix`` of its keys there, and what else the family needs to write it again.
        aside: Tensors that belong to that layout and not to the model, under their keys there.
        changed: Number of tensors that were re-ordered or re-shaped for our layout.
        ignored: Top-level entries of the file that are not weights.
    """

    state: dict[str, Tensor]
    layout: str = OWN
    source: dict[str, Any] = field(default_factory=dict)
    aside: dict[str, Tensor] = field(default_factory=dict)
    changed: int = 0
    ignored: tuple[str, ...] = ()


class Translated(NamedTuple):
    """A state dict in another layout: its tensors, how many of them were re-ordered or re-shaped,
    and the keys kept aside that had no place."""

    state: dict[str, Tensor]
    changed: int
    left: tuple[str, ...]


def never(key: str) -> bool:
    """Says no to every key."""
    return False


class Fitted(NamedTuple):
    """What of a checkpoint a model takes, the keys of the model that such a file never holds, and a
    line for the person who loads it, empty when nothing is to be said."""

    checkpoint: Checkpoint
    untouched: tuple[str, ...] = ()
    note: str = ''


def as_it_is(checkpoint: Checkpoint, own: Mapping[str, Tensor], path: str | Path) -> Fitted:
    """The checkpoint, for models that take the whole of it."""
    return Fitted(checkpoint)


class PartState(NamedTuple):
    """The tensors of one part of a model under our keys, the keys of the file that nobody knows,
    and those that the part has no use for."""

    state: dict[str, Tensor]
    unknown: list[str]
    aside: list[str]


@dataclass(frozen=True)
class Tower:
    """How the published files of one kind of backbone, text encoder or proposal network are read.

    Args:
        part: :data:`BACKBONE`, :data:`TEXT_ENCODER` or :data:`PROPOSALS`.
        suits: Function that tells whether a module with these keys is such a tower.
        read: Function from a file's state dict to our keys.
        absent: Function that tells whether such files never hold a tensor of the module.
        derived: Function that tells whether a tensor follows from the others, so that files need
            not hold it.
    """

    part: str
    suits: Callable[[Iterable[str]], bool]
    read: Callable[[dict[str, Tensor]], PartState]
    absent: Callable[[str], bool] = never
    derived: Callable[[str], bool] = never


def always_official(state: Mapping[str, Tensor]) -> str:
    """The authors' layout where it has one name for all models of the family."""
    return 'official'


@dataclass(frozen=True)
class Family:
    """Models whose checkpoints come in layouts of other programs too.

    Args:
        name: Its name in messages.
        containers: Other layout -> the entry of a pickle that holds its state dict; ``''`` where
            the pickle is the state dict.
        detect: Function from keys to their layout and the prefix before all of them; None for keys
            of another family.
        to_own: Function from tensors of another layout (prefix removed), its name, the prefix and
            the path of the file, for messages, to a complete checkpoint.
        from_own: Function from a complete checkpoint and the name of another layout to that layout.
        describe: Function from tensors of our layout to a description of the model; None where they
            do not show its sizes.
        variant: Function from tensors of our layout to the published variant, or ``'custom'``.
        check: Function from a checkpoint, its path and the target layout to a description of the
            model; raises UserError where a tensor is missing or the layout cannot hold the model.
        derived: Function that tells whether a tensor follows from the others, so that files need
            not hold it, and a model that has no such tensor does without.
        complete: Function that adds the derived tensors to a state dict of our layout.
        towers: Backbones, text encoders and proposal networks that have files of their own.
        fit: Function from a checkpoint, the tensors of a model of this family and the path of the
            file, for messages, to what of it the model takes; raises UserError where the file lacks
            a part that the model cannot do without.
        official: Function from tensors of our layout to the name of the authors' layout for them.
    """

    name: str
    containers: Mapping[str, str]
    detect: Callable[[Iterable[str]], tuple[str, str] | None]
    to_own: Callable[[dict[str, Tensor], str, str, str | Path], Checkpoint]
    from_own: Callable[[Checkpoint, str], Translated]
    describe: Callable[[Mapping[str, Tensor]], str | None]
    variant: Callable[[Mapping[str, Tensor]], str]
    check: Callable[[Checkpoint, str | Path, str], str]
    derived: Callable[[str], bool]
    complete: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    towers: tuple[Tower, ...] = ()
    fit: Callable[[Checkpoint, Mapping[str, Tensor], str | Path], Fitted] = as_it_is
    official: Callable[[Mapping[str, Tensor]], str] = always_official


class Recognised(NamedTuple):
    """The family of a state dict, its layout, and the prefix before all of its keys."""

    family: Family
    layout: str
    prefix: str


_families: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Makes a family known; one of the same name is replaced."""
    _families[family.name] = family
    return family


def families() -> tuple[Family, ...]:
    """All families in alphabetical order, whichever was imported first."""
    _import_folders()
    return tuple(_families[name] for name in sorted(_families))


@cache
def _import_folders() -> None:
    folder = Path(__file__).parent
    package = __name__.rpartition('.')[0]
    for module in sorted(pkgutil.iter_modules([str(folder)]), key=lambda module: module.name):
        if module.ispkg:
            importlib.import_module(f'{package}.{module.name}')


def recognise(keys: Iterable[str]) -> Recognised | None:
    """The family and layout of a state dict; None when no family knows it."""
    keys = list(keys)
    for family in families():
        found = family.detect(keys)
        if found is not None:
            return Recognised(family, *found)
    return None


def family_of(state: Mapping[str, Tensor]) -> Family | None:
    """The family of a model, by the keys of its own state dict; None for a model of no family."""
    found = recognise(state)
    return found.family if found is not None and found.layout == OWN else None


def known_layouts() -> tuple[str, ...]:
    """Every layout of every family, our own last."""
    others = [layout for family in families() for layout in family.containers]
    return (*dict.fromkeys(others), OWN)


def tower_of(part: str, keys: Iterable[str]) -> Tower | None:
    """The reader of published files for a module with these keys; None when there is none."""
    keys = list(keys)
    return next((tower for family in families() for tower in family.towers
                 if tower.part == part and tower.suits(keys)), None)
