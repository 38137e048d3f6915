"""Small parts of a COCO file: few-shot samples and validation splits, as files."""
from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from glipkit.data.formats.coco_json import CocoJson, read_coco_json
from glipkit.data.formats.reading import read_json
from glipkit.errors import UserError
from glipkit.files import write_text


def few_shot_images(coco: CocoJson, shots: int, seed: int) -> list[int]:
    """Images that hold at least ``shots`` examples of every class, as far as there are any.

    The official sampling: images in random order; one is taken if a class in it is still wanted,
    and then counts once for every class in it. Classes with fewer images than ``shots`` get all
    of them; images without boxes are never taken.

    Args:
        coco: The whole set.
        shots: Images per class.
        seed: Seed of the order; 0 is the ascending order of the ids, as in the official code.

    Returns:
        Ids, in the order in which they were taken.

    Raises:
        UserError: ``shots`` is no positive number, or no image has a box.
    """
    if shots < 1:
        raise UserError('at least 1 shot', str(shots), 'pass 1, 3, 5, 10, ...')
    present = _classes_of_images(coco)
    if not present:
        raise UserError('images with boxes', f'none in {coco.path}', 'check the file')
    order = sorted(present)
    if seed:
        random.Random(seed).shuffle(order)
    wanted = dict.fromkeys(coco.classes, shots)
    taken = []
    for image_id in order:
        if any(wanted[c] > 0 for c in present[image_id]):
            taken.append(image_id)
            for c in present[image_id]:
                wanted[c] -= 1
    return taken


def few_shot_name(shots: int, seed: int, split: str = 'train') -> str:
    """The name that the official ODinW download gives a few-shot file."""
    return f'fewshot_{split}_shot{shots}_seed{seed}.json'


def few_shot_file(ann_file: str | Path, shots: int, seed: int, folder: str | Path) -> Path:
    """The few-shot file of a training set: a published one, or else drawn and written.

    A file of the official name beside ``ann_file`` is used as it is. Otherwise the sample is
    written under that name to ``folder``; one that is there already is used again.

    Raises:
        UserError: A published file has other categories than ``ann_file``; or as
            :func:`few_shot_images`.
    """
    ann_file = Path(ann_file)
    published = ann_file.parent / few_shot_name(shots, seed)
    coco = read_coco_json(ann_file)
    for found in (published, Path(folder) / published.name):
        if found.is_file():
            if read_coco_json(found).classes != coco.classes:
                raise UserError(f'the categories of {ann_file}', f'others in {found}',
                                'remove the few-shot file, and a new one is drawn')
            return found
    write_subset(ann_file, few_shot_images(coco, shots, seed), found)
    return found


def split_by_image(ann_file: str | Path, fraction: float, seed: int,
                   folder: str | Path) -> tuple[Path, Path]:
    """Sets a part of the images aside for validation; files that are there are used again.

    Args:
        ann_file: COCO json.
        fraction: Share of the images, at least one.
        seed: Seed of the draw.
        folder: Folder of ``split_train.json`` and ``split_val.json``.

    Raises:
        UserError: As :func:`validation_images`.
    """
    train, val = Path(folder) / 'split_train.json', Path(folder) / 'split_val.json'
    if train.is_file() and val.is_file():
        return train, val
    coco = read_coco_json(ann_file)
    chosen = validation_images(coco, fraction, seed)
    write_subset(ann_file, set(coco.images) - chosen, train)
    write_subset(ann_file, chosen, val)
    return train, val


def validation_images(coco: CocoJson, fraction: float, seed: int) -> set[int]:
    """Ids of a random part of the images; of those with boxes at least one.

    What training cannot use, crowds for one, is no box here. No class loses the last of its
    images: where the draw would take it, another image goes instead.

    Raises:
        UserError: Fewer than two images with boxes, or none that can be spared.
    """
    present = _classes_of_images(coco)
    with_boxes = sorted(present)
    empty = sorted(set(coco.images) - set(with_boxes))
    if len(with_boxes) < 2:
        raise UserError('at least two images with boxes, to split into training and validation',
                        f'{len(with_boxes)} in {coco.path}', 'pass a validation file')
    # Both kinds in proportion, so that a few boxes cannot all end on one side.
    chosen = set(random.Random(seed).sample(empty, round(fraction * len(empty))))
    wanted = max(1, round(fraction * len(with_boxes)))
    drawn = random.Random(seed).sample(with_boxes, wanted)
    others = sorted(set(with_boxes) - set(drawn))
    random.Random(seed).shuffle(others)
    left = Counter(c for classes in present.values() for c in classes)
    spared: list[int] = []
    for image_id in [*drawn, *others]:
        if len(spared) < wanted and all(left[c] > 1 for c in present[image_id]):
            spared.append(image_id)
            left.subtract(present[image_id])
    if not spared:
        raise UserError('an image to validate on that is not the only one of a class',
                        f'none in {coco.path}', 'add images, or pass a validation file')
    return chosen | set(spared)


def _classes_of_images(coco: CocoJson) -> dict[int, set[int]]:
    """Image id -> category ids of the boxes that training can use; images without any are absent.
    """
    present: dict[int, set[int]] = {}
    for record in coco.examples():
        present.setdefault(record['image_id'], set()).add(record['category_id'])
    return present


def write_subset(ann_file: str | Path, image_ids: Collection[int], target: str | Path) -> None:
    """Writes the part of a COCO file that belongs to some images, atomically.

    Images and annotations keep their order and ids; categories and all else stay as they are.
    """
    content, kept = read_json(ann_file, 'a COCO json'), set(image_ids)
    subset = dict(images=[i for i in content['images'] if i['id'] in kept],
                  annotations=[a for a in content['annotations'] if a['image_id'] in kept])
    write_text(target, json.dumps({**content, **subset}, ensure_ascii=False))
