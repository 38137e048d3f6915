"""The 35 data sets of "object detection in the wild", and the figures published on them.

One table for what the official release spreads over 48 config files: where files are, which classes
there are, which prompts were written by hand. Numbers of classes are counted, never stated: four of
the official files state wrong ones.
"""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from glipkit.errors import UserError

#: What an evaluation means by "ODinW". '13-paper': the thirteen of Li et al., CVPR 2022 as its
#: figures were made, test splits with manual prompts. '13-yaml': the same as the official config
#: files evaluate them, validation splits and the bare names of the annotation files. '35': all,
#: as '13-paper'.
PROFILES = ('13-paper', '13-yaml', '35')

#: Shots and seeds of the few-shot files that come with the official release.
SHOTS, SEEDS = (1, 3, 5, 10), (3, 30, 300)

_FOLDERS = {'train': 'train', 'val': 'valid', 'test': 'test', 'minival': 'mini_val'}
_ANNOTATIONS = 'annotations_without_background.json'


@dataclass(frozen=True)
class OdinwDataset:
    """One data set as one profile sees it.

    Args:
        name: Name of the official config file.
        title: Short name for tables; the paper's own for its thirteen.
        classes: Names in the annotation files, in the order of their category ids 1..K; empty
            where any will do.
        splits: 'train', 'val', 'test' and for some 'minival' -> (annotation file, image folder),
            relative to the root of the release.
        caption_prompt: Class name -> dict(prefix=, name=, suffix=), as `class_prompt` takes it;
            classes without an entry stand under their own names.
        eval_split: Split that the profile evaluates.
        images: Split -> number of images in the paper's table 9; empty for most.
        renames: Class name -> the better one that the paper prompts with, and that some copies of
            the annotation files have already.
        category: Kind of the data set, of which the mean is shown as well; '' for none.
    """
    name: str
    title: str
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[str, str]]
    caption_prompt: Mapping[str, Mapping[str, str]]
    eval_split: str
    images: Mapping[str, int] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)
    category: str = ''

    @property
    def wordless(self) -> tuple[str, ...]:
        """Classes without letter and digit: no prompt can hold them, the official scores them 0.

        There is one, two blanks in ChessPieces. A mean over all classes of the file counts it.
        """
        return tuple(name for name in self.classes if not any(map(str.isalnum, name)))

    def find(self, root: str | Path, split: str) -> tuple[Path, Path]:
        """The annotation file and the image folder of a split.

        Args:
            root: Folder of the release, which holds 'Aquarium', 'pothole' and so on.
            split: 'train', 'val', 'test' or 'minival'.

        Raises:
            UserError: There is no such split, or a file or folder is missing.
        """
        if split not in self.splits:
            raise UserError(f'a split of {self.name}: {", ".join(self.splits)}', repr(split),
                            'choose one of these')
        ann_file, folder = (Path(root) / part for part in self.splits[split])
        if not folder.is_dir():
            raise UserError(f'the {split} images of {self.name}', f'no folder {folder}',
                            'unpack the release with glipkit prepare odinw, or correct the root')
        if not ann_file.is_file():
            raise UserError(f'the {split} annotations of {self.name}', f'no file {ann_file}',
                            'unpack the release with glipkit prepare odinw, or correct the root')
        return ann_file, folder

    def few_shot_file(self, split: str, shots: int, seed: int) -> str:
        """Where the release keeps a few-shot subset of a split, relative to its root."""
        folder = Path(self.splits[split][0]).parent
        return (folder / f'fewshot_{split}_shot{shots}_seed{seed}.json').as_posix()

    def check_classes(self, found: Sequence[str], where: str | Path) -> None:
        """Compares the names of an annotation file, in the order of their ids, with the table.

        Renamed classes pass under the old and the new name: both kinds of files are about.

        Raises:
            UserError: Names the first that differs.
        """
        if not self.classes:
            return
        for i, name in enumerate(self.classes):
            accepted = {name, self.renames.get(name, name)}
            if i >= len(found) or found[i] not in accepted:
                got = repr(found[i]) if i < len(found) else f'only {len(found)} classes'
                raise UserError(f'class {i + 1} of {self.name} to be {name!r}', f'{where}: {got}',
                                'check that the file is of this data set and not renumbered')
        if len(found) > len(self.classes):
            raise UserError(f'{len(self.classes)} classes in {self.name}',
                            f'{where}: {len(found)}, the first beyond is '
                            f'{found[len(self.classes)]!r}', 'use annotations_without_background')


@dataclass(frozen=True)
class PublishedScores:
    """Published COCO AP (in percent) of one model, tuned in one way on so many images.

    Args:
        model: Name in ``odinw_published.json``: of a config, or 'dyhead-t-coco' and
            'dyhead-t-o365', which the paper compares with.
        tuning: 'zero-shot', 'linear', 'prompt' or 'full'.
        shots: Images per class; 0 for zero-shot, None for all data.
        scores: Data set -> AP, for few-shot the mean over three draws.
        spread: Data set -> standard deviation over the draws; empty where there was one.
        average: The paper's own mean over the thirteen.
    """
    model: str
    tuning: str
    shots: int | None
    scores: Mapping[str, float]
    spread: Mapping[str, float]
    average: float


def odinw_datasets(profile: str = '35', sentences: bool = True) -> tuple[OdinwDataset, ...]:
    """The data sets of a profile, in the order of the official list.

    Args:
        profile: One of `PROFILES`.
        sentences: Whether manual prompts may be sentences ("hand of a person"). The paper gives
            them to models that have seen captions; those trained on Objects365 alone get changed
            names only.

    Raises:
        UserError: An unknown profile.
    """
    if profile not in PROFILES:
        raise UserError(f'an ODinW profile: {", ".join(PROFILES)}', repr(profile),
                        'choose one of these')
    return tuple(_dataset(row, profile, sentences) for row in _table('odinw')['datasets']
                 if row['odinw_13'] or profile == '35')


def odinw_dataset(name: str, profile: str = '35', sentences: bool = True) -> OdinwDataset:
    """The data set of this name or title.

    Raises:
        UserError: The profile has none.
    """
    return find_dataset(odinw_datasets(profile, sentences), name)


def find_dataset(datasets: Sequence[OdinwDataset], name: str) -> OdinwDataset:
    """The one of this name or title.

    Raises:
        UserError: There is none.
    """
    for dataset in datasets:
        if name in (dataset.name, dataset.title):
            return dataset
    raise UserError(f'a data set of the profile: {", ".join(d.title for d in datasets)}',
                    repr(name), 'choose one of these')


def published_scores(model: str, tuning: str, shots: int | None) -> PublishedScores | None:
    """Scores of the paper's tables 14 to 16; None where there are none. See `PublishedScores`."""
    table = _table('odinw_published')
    for row in table['per_dataset']:
        if (row['model'], row['tuning'], row['shots']) == (model, tuning, _shot_key(shots)):
            return PublishedScores(model, tuning, shots,
                                   dict(zip(table['datasets'], row['mean'], strict=True)),
                                   dict(zip(table['datasets'], row.get('std', ()), strict=False)),
                                   row['average'])
    return None


def published_average(model: str, tuning: str, shots: int | None) -> tuple[float, float] | None:
    """Mean over the thirteen and its spread over three draws (0 for one), from tables 11 to 13.

    These state another spread than tables 14 to 16, and in two places another mean: 28.7 against
    28.8 for model (A) zero-shot, 62.8 against 62.4 for model (C) with prompts tuned on all data.

    Args:
        model: Model, see `PublishedScores`.
        tuning: Kind of tuning, see there; also 'linear cosine' for the two DyHead models.
        shots: Number of examples per class, see there.
    """
    tuning = 'full' if tuning == 'zero-shot' else tuning
    for row in _table('odinw_published')['averages']:
        found = row['shots'].get(str(_shot_key(shots)))
        if (row['model'], row['tuning']) == (model, tuning) and found:
            return found[0], found[1] if len(found) > 1 else 0.
    return None


def released_zero_shot(model: str) -> float | None:
    """Zero-shot mean of the released checkpoint, which for the two largest is not the paper's."""
    return _table('odinw_published')['released_zero_shot'].get(model)


def _dataset(row: Mapping[str, Any], profile: str, sentences: bool) -> OdinwDataset:
    raw = profile == '13-yaml'
    renames = row.get('renames', {})
    prompt: dict[str, Mapping[str, str]] = {}
    if not raw:
        prompt.update({old: {'name': new} for old, new in renames.items()})
        prompt.update(row.get('sentences', {}) if sentences else {})
    quick = 'minival' if row['minival'] else 'val'
    return OdinwDataset(row['name'], row['title'], tuple(row['classes']), _splits(row), prompt,
                        quick if raw else 'test',
                        {k: n for k, n in row.get('images', {}).items() if n is not None}, renames)


def _splits(row: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    root, layout = row['root'], row['layout']
    names = [s for s in _FOLDERS if s != 'minival' or row['minival']]
    if layout == 'export':  # all images in one folder
        return {s: (f'{root}/{s}_{_ANNOTATIONS}', root) for s in names}
    folders = {s: f'{root}/{_FOLDERS[s]}' for s in names}
    if layout == 'no test':
        folders['test'] = folders['val']
    return {s: (f'{folder}/{_ANNOTATIONS}', folder) for s, folder in folders.items()}


def _shot_key(shots: int | None) -> int | str:
    return 'all' if shots is None else shots


@cache
def _table(name: str) -> dict[str, Any]:
    path = Path(__file__).parent / f'{name}.json'
    return json.loads(path.read_text(encoding='utf-8'))
