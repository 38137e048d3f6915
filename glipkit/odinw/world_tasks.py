"""A generated world as many small data sets, one per kind of thing.

They are to a mini model what ODinW is to a model that was trained on the web: the same commands
tune and score on 'animals/birds', 'food/fruit' and so on. Pictures stay where they
are; only annotation files are written.
"""
from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from glipkit.data.formats.coco_json import CocoJson, read_coco_json
from glipkit.data.formats.reading import read_json
from glipkit.data.splits.odinw import OdinwDataset
from glipkit.errors import UserError
from glipkit.files import write_text

#: The profile's name.
WORLD = 'world'
#: A kind with fewer classes is no data set.
LEAST_CLASSES = 3
#: One training picture of so many is for validation.
VAL_EVERY = 5

_MANIFEST = 'manifest.json'


def is_world(root: str | Path) -> bool:
    """Whether a folder is one that ``glipkit world`` has made."""
    path = Path(root) / _MANIFEST
    if not path.is_file():
        return False
    content = read_json(path, 'a manifest')
    return isinstance(content, dict) and {'world', 'settings', 'complete'} <= content.keys()


def world_datasets(root: str | Path, folder: str | Path) -> tuple[OdinwDataset, ...]:
    """One data set per supercategory with at least `LEAST_CLASSES` annotated classes.

    Training and validation pictures are the world's detection pictures, test pictures are its
    validation pictures, each where it shows a class of the data set. Boxes of other classes are
    left out.

    Args:
        root: Folder of the world.
        folder: Folder in which ``NAME/{train,val,test}.json`` are written.

    Returns:
        The data sets in alphabetical order; their splits have absolute paths.

    Raises:
        UserError: No complete world, or one without any such supercategory.
    """
    root, folder = Path(root).resolve(), Path(folder).resolve()
    if not is_world(root) or not read_json(root / _MANIFEST, 'a manifest')['complete']:
        raise UserError('the folder of a complete world', str(root),
                        'make it with glipkit world')
    train = read_coco_json(root / 'annotations/det_train.json')
    test = read_coco_json(root / 'annotations/val.json')
    found = []
    for kind, names in sorted(_kinds(train, root).items()):
        subsets = {'train': _subset(train, names, lambda image: image % VAL_EVERY != 0),
                   'val': _subset(train, names, lambda image: image % VAL_EVERY == 0),
                   'test': _subset(test, names)}
        if len(names) < LEAST_CLASSES or not all(one['images'] for one in subsets.values()):
            continue
        name = kind.replace('/', '-')
        splits = {}
        for split, content in subsets.items():
            path = folder / name / f'{split}.json'
            write_text(path, json.dumps(content) + '\n')
            splits[split] = (str(path), str(root / 'images' / (
                'val' if split == 'test' else 'train_det')))
        found.append(OdinwDataset(name, kind, tuple(names), splits, {}, 'test'))
    if not found:
        raise UserError(f'a kind of thing with {LEAST_CLASSES} classes, shown in training, '
                        'validation and test pictures', str(root), 'make a larger world')
    return tuple(found)


def _kinds(train: CocoJson, root: Path) -> dict[str, list[str]]:
    """Supercategory -> names of its classes that have a training box, by category id."""
    records = read_json(root / 'annotations/det_train.json', 'a COCO json')['categories']
    boxes = Counter(record['category_id'] for record in train.annotations
                    if record['image_id'] % VAL_EVERY)
    kinds = defaultdict(list)
    for record in sorted(records, key=lambda record: record['id']):
        if boxes[record['id']]:
            kinds[record['supercategory']].append(record['name'])
    return kinds


def _subset(coco: CocoJson, names: Iterable[str],
          wanted: Callable[[int], bool] = lambda image: True) -> dict[str, Any]:
    """COCO json of the pictures that show one of the classes, whose ids count from 1."""
    new_id = {coco.id_of_name[name]: number for number, name in enumerate(names, start=1)}
    annotations = [{**record, 'category_id': new_id[record['category_id']]}
                   for record in coco.annotations
                   if record['category_id'] in new_id and wanted(record['image_id'])]
    shown = {record['image_id'] for record in annotations}
    return dict(images=[record for image, record in coco.images.items() if image in shown],
                annotations=annotations,
                categories=[dict(id=number, name=name) for number, name in enumerate(names, 1)])
