"""Sets of class names that a model treats in a way of their own."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from glipkit.text.splits.open_vocabulary import split_classes
from glipkit.text.templates import clean_name


class ClassSet:
    """Names, whatever their letters' case, and with a blank for each ``_``.

    Args:
        names: A list, or the address of a split, such as ``'ov-coco/base'``.

    Raises:
        UserError: There is no such split.
    """

    def __init__(self, names: str | Sequence[str]) -> None:
        names = split_classes(names) if isinstance(names, str) else names
        self._names = frozenset(map(_plain, names))

    def holds(self, names: Sequence[str]) -> Tensor:
        """Which of K names are in the set, (K,) bool."""
        return torch.tensor([_plain(name) in self._names for name in names], dtype=torch.bool)


def _plain(name: str) -> str:
    return clean_name(name, identifier=True).lower()
