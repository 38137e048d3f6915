"""Roboflow100-VL (arXiv 2505.20612): a hundred small data sets of seven kinds, as COCO folders.

Its download has a folder for each data set, with ``train``, ``valid`` and ``test`` and in each of
these ``_annotations.coco.json`` beside the images. RF20-VL, and the few-shot versions, whose
training folders hold the few shots, look the same.
"""
from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from glipkit.data.splits.odinw import OdinwDataset
from glipkit.errors import UserError

#: The profile's name.
RF100 = 'rf100-vl'
#: Kind of a data set that the release does not list.
UNLISTED = 'unlisted'

_FOLDERS = {'train': 'train', 'val': 'valid', 'test': 'test'}
_ANNOTATIONS = '_annotations.coco.json'


def rf100_datasets(root: str | Path) -> tuple[OdinwDataset, ...]:
    """The data sets that are in a folder, by kind and name; any number of the hundred.

    Each folder with the annotations of a split is one. Its classes are those of its files, asked
    by their bare names; its test split is scored.

    Args:
        root: Folder of the download, which holds 'actions', 'aerial-cows' and so on.

    Raises:
        UserError: There is not one.
    """
    found = []
    for folder in sorted(Path(root).iterdir()):
        splits = {split: (f'{folder.name}/{name}/{_ANNOTATIONS}', f'{folder.name}/{name}')
                  for split, name in _FOLDERS.items()}
        there = {split for split, (file, _) in splits.items() if (Path(root) / file).is_file()}
        if there:
            if 'val' not in there:  # a part of the training images is set aside
                del splits['val']
            found.append(OdinwDataset(folder.name, folder.name, (), splits, {}, 'test',
                                      category=category_of(folder.name)))
    if not found:
        raise UserError(f'folders with train, valid and test, each with {_ANNOTATIONS}',
                        f'none in {root}', 'pass the folder that holds the data sets')
    return tuple(sorted(found, key=lambda one: (one.category == UNLISTED, one.category, one.name)))


def category_of(name: str) -> str:
    """Kind of a data set by its folder: the release's name, or that with the project's suffix.

    >>> category_of('aerial-cows'), category_of('aerial-cows-kt2wd-3jxcj-uvfx'), category_of('mine')
    ('Aerial', 'Aerial', 'unlisted')
    """
    known = [one for one in categories() if name == one or name.startswith(f'{one}-')]
    return categories()[max(known, key=len)] if known else UNLISTED


@cache
def categories() -> dict[str, str]:
    """Name of each of the hundred data sets -> its kind, as the release's toolkit lists them."""
    table = json.loads(Path(__file__).with_name('rf100_vl.json').read_text(encoding='utf-8'))
    return {name: kind for kind, names in table.items() for name in names}
