"""The ODinW data sets: unpack the official zips, compare them with the table, and report."""
from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glipkit.common.digests import file_sha256
from glipkit.data.formats.coco_json import whole_number
from glipkit.data.preparation import Preparation, Step
from glipkit.data.preparation.archives import unpack
from glipkit.data.splits.odinw import (
    PROFILES,
    SEEDS,
    SHOTS,
    OdinwDataset,
    odinw_datasets,
)
from glipkit.errors import UserError

EXAMPLES = """examples:
  glipkit prepare odinw --zips downloads --out data/odinw
  glipkit prepare odinw --zips downloads --out data/odinw --profile 13-paper
  glipkit prepare odinw --root data/odinw --out reports/odinw

--zips takes the folder of the official zips (Aquarium.zip, pothole.zip, ...) and unpacks those
that are there into OUT. --root takes a release that is unpacked already and only checks it.
reports/NAME.json holds images, boxes and boxes per class of every split; boxes and missing images
are counted in the report."""


def check_dataset(dataset: OdinwDataset, root: Path, step: Step) -> dict[str, Any]:
    """Reads all splits of one data set.

    Args:
        dataset: Entry of the table.
        root: Folder of the release.
        step: Takes counts, missing images and differences from the paper's image counts.

    Returns:
        Split -> images, boxes, boxes per class, few-shot files; as the report holds it.

    Raises:
        UserError: A split is missing, or its classes are not those of the table.
    """
    splits = {}
    for split in dataset.splits:
        if split == 'test' and dataset.splits['test'] == dataset.splits['val']:
            splits[split] = {'same as': 'val'}
            continue
        ann_file, folder = dataset.find(root, split)
        splits[split] = _check_split(dataset, split, ann_file, folder, step)
        few_shot = [dataset.few_shot_file(split, shots, seed) for shots in SHOTS for seed in SEEDS]
        splits[split]['few_shot_files'] = [f for f in few_shot if (root / f).is_file()]
        step.count('few-shot files', len(splits[split]['few_shot_files']))
    return splits


def _check_split(dataset: OdinwDataset, split: str, ann_file: Path, folder: Path,
                 step: Step) -> dict[str, Any]:
    names: dict[int, str] = {}
    images: dict[int, str] = {}
    boxes: Counter = Counter()
    for key, record in step.read_json(ann_file, 'a COCO json'):
        if key not in ('images', 'annotations', 'categories'):
            continue
        where = f'{ann_file}: {key}'
        if key == 'annotations':
            boxes[whole_number(record, 'category_id', where)] += 1
        elif key == 'images':
            images[whole_number(record, 'id', where)] = str(record.get('file_name'))
        else:
            names[whole_number(record, 'id', where)] = record.get('name')
    dataset.check_classes([names[i] for i in sorted(names)], ann_file)
    unknown = sorted(boxes.keys() - names.keys())
    if unknown:
        raise UserError('boxes of the listed categories', f'{ann_file}: category_id {unknown[0]}',
                        'copy the file again')
    for name in sorted(n for n in images.values() if not (folder / n).is_file()):
        step.drop('images that are missing', f'{folder / name}')
    _compare(dataset, split, len(images), step)
    step.count(f'{split} images', len(images))
    step.count('boxes', sum(boxes.values()))
    return {'images': len(images), 'boxes': sum(boxes.values()),
            'boxes_per_class': {names[i]: boxes[i] for i in sorted(names)}}


def _compare(dataset: OdinwDataset, split: str, found: int, step: Step) -> None:
    """Counts the images that a split has more or fewer than table 9 of the paper."""
    published = dataset.images.get(split, found)
    example = f'{split} has {found}, published are {published}'
    if found < published:
        step.drop('images that the paper counts beyond these', example, published - found)
    elif found > published:
        step.count('images more than the paper counts', found - published)


def prepare(options: argparse.Namespace) -> Preparation:
    """Unpacks where asked, then one report per data set."""
    if options.check_images:
        raise UserError('a command without --check-images', options.check_images,
                        'leave it out; here images are always checked')
    prep = Preparation(options.out, 'odinw', options.redo)
    datasets = odinw_datasets(options.profile)
    if options.zips:
        _unpack(prep, Path(options.zips), datasets)
    root = Path(options.root or options.out)
    checked = [d for d in datasets if (root / d.splits['train'][1]).parent.is_dir()]
    if not checked:
        raise UserError(f'data sets of the profile {options.profile}',
                        f'none in {options.zips or options.root}',
                        'pass the folder that holds Aquarium, pothole and so on')
    _write_found(prep, datasets, checked)
    _check_all(prep, checked, root)
    return prep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this source."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--zips', metavar='DIR', help='folder of the official zips')
    source.add_argument('--root', metavar='DIR', help='a release that is unpacked already')
    parser.add_argument('--profile', choices=PROFILES, default='35',
                        help='which data sets (default: all 35)')


def _unpack(prep: Preparation, folder: Path, datasets: Sequence[OdinwDataset]) -> None:
    """Unpacks the zips of these data sets; one may hold two of them."""
    if not folder.is_dir():
        raise UserError('a folder of zips', f'no folder {folder}', 'check --zips')
    wanted = {dataset.splits['train'][1].split('/')[0] for dataset in datasets}
    for path in sorted(folder.glob('*.zip')):
        if path.stem not in wanted:
            continue
        with prep.step(f'unpacked/{path.stem}.json', inputs=[path]) as step:
            if not step.done:
                _unpack_one(step, path, prep.out, path.stem)


def _unpack_one(step: Step, path: Path, out: Path, top: str) -> None:
    files = []
    for unpacked in step.track(unpack(path, out, top), 'file'):
        step.count('files')
        files.append({'name': unpacked.name, 'size': unpacked.size, 'crc32': unpacked.crc32})
    step.write_json({'zip': path.name, 'sha256': file_sha256(path), 'files': files})


def _check_all(prep: Preparation, datasets: Sequence[OdinwDataset], root: Path) -> None:
    """One report each. A data set that does not fit is an error, raised after all are checked."""
    wrong: list[UserError] = []
    for dataset in datasets:
        try:
            inputs = [dataset.find(root, split)[0] for split in dataset.splits]
            with prep.step(f'reports/{dataset.name}.json', inputs=inputs) as step:
                if not step.done:
                    content = check_dataset(dataset, root, step)
                    step.write_json({'name': dataset.name, 'title': dataset.title,
                                     'classes': len(dataset.classes), 'splits': content})
        except UserError as error:
            wrong.append(error)
    if wrong:
        more = f' (and {len(wrong) - 1} data sets more do not fit)' if len(wrong) > 1 else ''
        raise UserError(wrong[0].expected, wrong[0].got + more, wrong[0].fix)


def _write_found(prep: Preparation, datasets: Sequence[OdinwDataset],
                 checked: Sequence[OdinwDataset]) -> None:
    """Writes which data sets were found; the others are counted as dropped."""
    absent = [d.title for d in datasets if d not in checked]
    with prep.step('datasets.json', settings={'found': [d.name for d in checked],
                                              'absent': absent}) as step:
        if not step.done:
            step.count('data sets', len(checked))
            for title in absent:
                step.drop('data sets that are not there', title)
            step.write_json({'found': [d.name for d in checked], 'absent': absent})
