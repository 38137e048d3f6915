"""How a generated world is planned, made and laid out on disk; shared by shapes and stamps.

::

    OUT/images/{train_det,train_grd,val}/000001.jpg ...
    OUT/annotations/det_train.json   COCO, categories: the seen ones only
    OUT/annotations/grd_train.jsonl  ODVG grounding lines: a caption with phrases, spans and boxes
    OUT/annotations/val.json         COCO, all categories
    OUT/annotations/val_grd.jsonl    captions of the pictures of val.json
    OUT/annotations/splits.json      {'seen': [names], 'unseen': [names], 'caption_only': [names]}
    OUT/manifest.json                settings, counts, whether the world is complete

File names in the annotations are relative to the folder of their split. Every picture has its own
random stream, keyed by seed, split and number, so a world does not depend on how many processes
drew it.
"""
from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glipkit.common.reporter import note, track
from glipkit.errors import UserError
from glipkit.worlds import mask_files, world_files
from glipkit.worlds.captions import Thing, describe
from glipkit.worlds.world_files import Picture

#: Split -> the groups of categories that its pictures show.
SHOWN_GROUPS: dict[str, tuple[str, ...]] = {
    'train_det': ('seen',),
    'train_grd': ('seen', 'caption_only'),
    'val': ('seen', 'unseen', 'caption_only')}
#: Chance that an object is chosen to resemble the one before it, for plurals and near misses.
KIN_SHARE = .3
#: From this many pictures on, a second process pays for its start.
POOL_FROM = 300

Draw = Callable[[Sequence[str], int, np.random.Generator], tuple[Image.Image, list[Thing]]]


@dataclass(frozen=True)
class World:
    """A kind of world.

    Args:
        title: Its name in the manifest.
        groups: 'seen', 'unseen' and 'caption_only' -> category names; disjoint.
        supercategories: Category name -> COCO supercategory, in the order of the category ids.
        draw: ``draw(names, image_size, rng)`` draws a picture with as many of the named objects
            as find room, and tells what was placed. Must pickle: it travels to other processes.
        objects: Fewest and most objects of a picture.
        settings: Everything else that shapes the content (JSON-ready), for the manifest.
        notes: Further entries of the manifest (JSON-ready).
    """
    title: str
    groups: Mapping[str, Sequence[str]]
    supercategories: Mapping[str, str]
    draw: Draw
    objects: tuple[int, int]
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


def build_world(world: World, out_dir: str | Path, seed: int, sizes: Mapping[str, int],
                image_size: int, workers: int | None, masks: bool = False) -> dict[str, Any]:
    """Make a world on disk, or leave it alone where the same one is already complete.

    Args:
        world: The kind of world.
        out_dir: Folder of the world; created. A world made earlier with other settings is
            replaced; anything else of the same names is refused.
        seed: Random seed, 0 or more.
        sizes: Split -> number of pictures.
        image_size: Side of the square pictures in pixels.
        workers: Processes that draw; None takes two for many pictures.
        masks: Whether to write the pixels of things too, see :mod:`.mask_files`.

    Returns:
        The manifest: ``world``, ``settings``, ``complete`` and ``counts``.

    Raises:
        UserError: For impossible numbers, or when ``out_dir`` holds files of another origin.
    """
    out_dir = Path(out_dir)
    manifest = check_request(world.title, out_dir, seed, sizes, image_size, workers)
    settings = dict(seed=seed, image_size=image_size, **sizes, **world.settings)
    if masks:  # worlds of before stay as they are
        settings['masks'] = True
    if manifest is not None and manifest['complete'] and manifest['settings'] == settings:
        note(f'{out_dir} is complete and has these settings: nothing to do')
        return manifest
    manifest = dict(world=world.title, settings=settings, complete=False, **world.notes)
    world_files.start(out_dir, manifest)
    plans = {split: plan_pictures(world, split, count, seed) for split, count in sizes.items()}
    planned = [(split, number, names) for split, plan in plans.items()
            for number, names in enumerate(plan, start=1)]
    make = partial(make_picture, world, out_dir, seed, image_size, masks=masks)
    pictures: dict[str, list[Picture]] = {split: [] for split in sizes}
    for picture, (split, _, _) in zip(_run(make, planned, workers, world.title), planned):
        pictures[split].append(picture)
    world_files.write_annotations(out_dir, pictures, world.groups, world.supercategories,
                                  masks)
    manifest.update(complete=True, counts=world_files.count(pictures, world.groups))
    world_files.write_manifest(out_dir, manifest)
    return manifest


def plan_pictures(world: World, split: str, count: int, seed: int) -> list[tuple[str, ...]]:
    """Decides which categories each picture of a split shows.

    The groups of the split take turns, and within a group every category is dealt once before any
    is dealt again, so that even a small split has several of each.
    """
    rng = np.random.default_rng([seed, list(SHOWN_GROUPS).index(split)])
    groups = [group for group in SHOWN_GROUPS[split] if world.groups[group]]
    decks = {group: _deal(world.groups[group], rng) for group in groups}
    plan, turn = [], 0
    for _ in range(count):
        names: list[str] = []
        for _ in range(rng.integers(world.objects[0], world.objects[1] + 1)):
            if names and rng.random() < KIN_SHARE:
                kin = _kin(names[-1], world.groups)
                names.append(kin[rng.integers(len(kin))])
                continue
            names.append(next(decks[groups[turn % len(groups)]]))
            turn += 1
        plan.append(tuple(names))
    return plan


def make_picture(world: World, out_dir: Path, seed: int, image_size: int,
                 planned: tuple[str, int, tuple[str, ...]], masks: bool = False) -> Picture:
    """Draw one planned picture (split, number, names), save it and describe it."""
    split, number, names = planned
    key = [seed, list(SHOWN_GROUPS).index(split), number]
    image, things = world.draw(names, image_size, np.random.default_rng([*key, 0]))
    caption, regions = describe(things, np.random.default_rng([*key, 1]))
    picture = Picture(number, image.width, image.height,
                      tuple(replace(thing, cover=None) for thing in things), caption,
                      tuple(regions))
    world_files.save_image(image, out_dir / 'images' / split / picture.file_name)
    if masks:
        ids = {name: rank for rank, name in enumerate(world.supercategories, start=1)}
        numbers, labels, segments = mask_files.draw_masks(things, image.size[::-1], ids)
        mask_files.save_masks(out_dir, split, picture.file_name, numbers, labels, len(ids))
        picture = replace(picture, segments=tuple(segments))
    return picture


def _deal(names: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    """Endless cards: each name once, in random order, then again."""
    while True:
        for index in rng.permutation(len(names)).tolist():
            yield names[index]


def _kin(name: str, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Categories of the same group with the same noun and another word in common, and itself."""
    terms = name.split()
    names = next(names for names in groups.values() if name in names)
    return [other for other in names if other == name or (
        other.split()[-1] == terms[-1] and len(set(terms) & set(other.split())) > 1)]


def _run(make: Callable, planned: Sequence, workers: int | None,
         title: str) -> Iterator[Picture]:
    """Results of ``make`` over ``planned`` in order, in this process or in several."""
    if workers is None:
        workers = min(2, os.cpu_count() or 1) if len(planned) >= POOL_FROM else 1

    def shown(results: Iterable[Picture]) -> Iterator[Picture]:
        return track(results, f'{title} world', len(planned), 'picture')

    if workers == 1:
        yield from shown(map(make, planned))
        return
    with multiprocessing.get_context().Pool(workers) as pool:
        yield from shown(pool.imap(make, planned, chunksize=16))


def check_request(title: str, out_dir: Path, seed: int, sizes: Mapping[str, int],
                  image_size: int, workers: int | None) -> dict[str, Any] | None:
    """Refuse what cannot be made before any costly step; arguments as of :func:`build_world`.

    Returns:
        The manifest of a world made earlier in ``out_dir``, complete or not, if there is one.

    Raises:
        UserError: For impossible numbers, or when ``out_dir`` holds files of another origin.
    """
    if seed < 0:
        raise UserError('a seed of 0 or more', repr(seed), 'choose another seed')
    for split, count in sizes.items():
        if not 0 <= count < 1_000_000:
            raise UserError(f'a number of {split} pictures from 0 to 999999', repr(count),
                            'choose another number')
    if not 96 <= image_size <= 4096:
        raise UserError('an image size from 96 to 4096 pixels', repr(image_size),
                        'choose another size')
    if workers is not None and workers < 1:
        raise UserError('at least one worker', repr(workers), 'choose 1 or more')
    return world_files.read_manifest(out_dir, title)
