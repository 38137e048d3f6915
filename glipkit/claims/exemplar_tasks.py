"""Pictures of the exemplar benchmark: things without a usable word, among things with one.

A task has six sorts of things: *unnamed* ones, which pre-training never showed or named and which
go by an invented word here; *words*, which the model knows by name; *look-alikes*, known things
that are easily taken for the unnamed; *pairs* of known things of which an object is only one;
*many* things under their own names, which the model knows well, half or hardly; and *strangers*,
near misses of these that nobody asks for.
"""
from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from glipkit.apis.data_sets import AnnotatedImages
from glipkit.claims.transfer_tasks import INVENTED
from glipkit.common.reporter import track
from glipkit.errors import UserError
from glipkit.files import make_folder, write_text
from glipkit.worlds import shapes, world_files
from glipkit.worlds.backgrounds import surface_photographs
from glipkit.worlds.captions import Thing
from glipkit.worlds.shape_vocabulary import Combination, splits
from glipkit.worlds.stamp_source import Stamp
from glipkit.worlds.stamps import SceneDrawer, choose_groups

#: Things of each sort in a task, pairs, and how many of each group the many have.
UNNAMED, WORDS, PAIRS, MANY_EACH = 4, 4, 3, 4
#: Shapes of pictures of their usual side are named without a mistake: there is nothing to
#: calibrate. Those that a poor camera took have a side so many times smaller.
POOR = 2
GROUPS = ('seen', 'unseen', 'caption_only')
#: Seed of the choice of shapes; a new value makes a new benchmark.
CHOICE_SEED = 7
#: Unseen photographs of the stamps world -> a known thing that is easily taken for it.
STAMP_LOOK_ALIKES = {
    'magellanic penguin': 'king penguin', 'camel': 'dromedary', 'bass guitar': 'electric guitar',
    'beetle car': 'sedan car'}
STAMP_WORDS = ('mug', 'pineapple', 'scissors', 'soccer ball')
STAMP_PAIRS = (('green lettuce', 'red lettuce'), ('green pepper', 'yellow pepper'),
               ('green traffic light', 'yellow traffic light'))

#: Split -> sort of thing -> fewest and most of a picture.
PICTURES: dict[str, dict[str, tuple[int, int]]] = {
    'train': dict(unnamed=(1, 2), words=(1, 2)),
    'val': dict(unnamed=(1, 2), words=(1, 2)),
    'test': dict(unnamed=(1, 2), words=(1, 2)),
    'look-alikes': dict(unnamed=(1, 1), look_alikes=(1, 2)),
    'negatives': dict(look_alikes=(1, 2), words=(1, 1)),
    'pairs': dict(pairs=(1, 3)),
    'many': dict(many=(1, 3), strangers=(1, 2))}
#: Split -> sorts whose boxes its annotations have; the others are there to mislead.
BOXED: dict[str, tuple[str, ...]] = {
    'train': ('unnamed', ), 'val': ('unnamed', ), 'test': ('unnamed', 'words'),
    'look-alikes': ('unnamed', 'look_alikes'), 'negatives': ('look_alikes', ),
    'pairs': ('pairs', ), 'many': ('many', )}

#: Draws the named things: names, side in pixels, generator -> picture, what is in it.
Drawer = Callable[[Sequence[str], int, np.random.Generator], tuple[Image.Image, list[Thing]]]


@dataclass(frozen=True)
class ExemplarTask:
    """What is shown, asked and mixed up.

    Args:
        world: 'shapes' or 'stamps'.
        unnamed: Invented word -> the thing that it stands for.
        words: Known things, asked by their names.
        look_alikes: Known things, one for each of ``unnamed``, in their order.
        pairs: Known things of which an object is one.
        many: Things of all groups of the world, asked by their names.
        strangers: Known things that are much like one of ``many``; none of them is boxed.
        sizes: Split of `PICTURES` -> number of pictures.
        image_size: Side of the pictures in pixels.
        many_size: That of the split ``many``.
        seed: Seed of the pictures.
    """
    world: str
    unnamed: Mapping[str, str]
    words: tuple[str, ...]
    look_alikes: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    many: tuple[str, ...]
    strangers: tuple[str, ...]
    sizes: Mapping[str, int]
    image_size: int
    many_size: int
    seed: int = 0

    def annotated(self, folder: Path, split: str, sort: str | None = None) -> AnnotatedImages:
        """A split on disk, once `write` has been called with the same folder.

        Args:
            folder: Folder of the task.
            split: A key of `PICTURES`.
            sort: Sort of things whose boxes are taken; None takes all of `BOXED`.
        """
        name = split if sort is None else f'{split}-{sort}'
        return AnnotatedImages(folder / f'{name}.json', folder / split)

    def things(self, sort: str) -> list[str]:
        """The things of a sort, by the names that the world draws."""
        if sort == 'pairs':
            return [name for pair in self.pairs for name in pair]
        return list(self.unnamed.values() if sort == 'unnamed' else getattr(self, sort))

    def asked(self, sort: str) -> list[str]:
        """The things of a sort, by the names that the model is asked."""
        return list(self.unnamed) if sort == 'unnamed' else self.things(sort)


def shapes_task(sizes: Mapping[str, int], seed: int = 0) -> ExemplarTask:
    """Combinations of words that pre-training never showed; look-alikes differ in one word.

    Args:
        sizes: Split -> number of pictures.
        seed: Seed of all pictures; the things are the same for all seeds.
    """
    rng, groups = np.random.default_rng([CHOICE_SEED, 0]), splits()
    seen = list(groups.seen)
    free = set(seen)

    def take(fits: Callable[[Combination], bool]) -> Combination:
        options = [item for item in seen if item in free and fits(item)]
        chosen = options[rng.integers(len(options))]
        free.discard(chosen)
        return chosen

    unseen = [groups.unseen[i] for i in rng.permutation(len(groups.unseen))[:UNNAMED]]
    look_alikes = [take(lambda item, thing=thing: _one_word_apart(item, thing)) for thing in unseen]
    pairs = []
    for _ in range(PAIRS):
        first = take(lambda item: any(_one_word_apart(item, other) for other in free))
        pairs.append((first.name, take(lambda item, f=first: _one_word_apart(item, f)).name))
    words = [take(lambda item: True).name for _ in range(WORDS)]
    many = _many(groups.names(), [item.name for item in unseen], rng)
    strangers = [item.name for item in seen if item.name not in many
                 and any(_one_word_apart(item, Combination(*name.split())) for name in many)]
    return ExemplarTask('shapes', dict(zip(INVENTED, (item.name for item in unseen))),
                        tuple(words), tuple(item.name for item in look_alikes), tuple(pairs),
                        many, tuple(strangers), dict(sizes), shapes.DEFAULT_IMAGE_SIZE,
                        shapes.DEFAULT_IMAGE_SIZE // POOR, seed)


def _many(groups: Mapping[str, Sequence[str]], unnamed: Sequence[str],
          rng: np.random.Generator) -> tuple[str, ...]:
    """Some things of every group, none that goes by an invented word."""
    return tuple(name for group in GROUPS for name in rng.permutation(
        [name for name in groups[group] if name not in unnamed])[:MANY_EACH].tolist())


def _one_word_apart(one: Combination, other: Combination) -> bool:
    """Whether they differ in colour or texture, and in nothing else."""
    apart = [a != b for a, b in zip(one.terms, other.terms)]
    return sum(apart) == 1 and (apart[1] or apart[2])


def stamps_task(stamps: Sequence[Stamp], sizes: Mapping[str, int], image_size: int,
                seed: int = 0) -> ExemplarTask:
    """Photographs that pre-training neither showed nor named.

    From stamps that lack some of the usual ones, others are taken: look-alikes then come from the
    same folder.

    Args:
        stamps: Stamps of the world.
        sizes: Split -> number of pictures.
        image_size: Side of the pictures in pixels.
        seed: Seed of all pictures.

    Raises:
        UserError: Too few stamps.
    """
    folders = {stamp.name: stamp.folder for stamp in stamps}
    groups = choose_groups(folders)
    usual = [name for name in STAMP_LOOK_ALIKES if name in groups['unseen']]
    unseen = (usual + [name for name in groups['unseen'] if name not in usual])[:UNNAMED]
    free = list(groups['seen'])
    if not unseen or len(free) < len(unseen) + 4:
        raise UserError('stamps of at least 8 kinds', f'{len(folders)}', 'take the whole package')

    def take(wish: str | None, near: str) -> str:
        fits = [name for name in free if folders[name] == folders[near]] or free
        chosen = wish if wish in free else fits[0]
        free.remove(chosen)
        return chosen

    look_alikes = tuple(take(STAMP_LOOK_ALIKES.get(name), name) for name in unseen)
    pairs = [pair for pair in STAMP_PAIRS if set(pair) <= set(free)]
    if not pairs:
        pairs = [next((pair for pair in combinations(free, 2)
                       if folders[pair[0]] == folders[pair[1]]), (free[0], free[1]))]
    free = [name for name in free if not any(name in pair for pair in pairs)]
    words = [name for name in STAMP_WORDS if name in free] or free[:WORDS]
    many = _many(groups, unseen, np.random.default_rng([CHOICE_SEED, 0]))
    strangers = [name for name in groups['seen'] if name not in many
                 and folders[name] in {folders[one] for one in many}]
    return ExemplarTask('stamps', dict(zip(INVENTED, unseen)), tuple(words), look_alikes,
                        tuple(pairs), many, tuple(strangers or free), dict(sizes), image_size,
                        image_size, seed)


def stamps_drawer(stamps: Sequence[Stamp]) -> Drawer:
    """Draws photographs on photo-like backgrounds."""
    return SceneDrawer.of(stamps, surface_photographs())


def write(task: ExemplarTask, folder: Path, draw: Drawer) -> None:
    """Draws a task into a folder; nothing is done where it is complete.

    Raises:
        UserError: Nothing can be written there.
    """
    done = folder / 'task.json'
    content = json.dumps(asdict(task), indent=1) + '\n'
    if done.is_file() and done.read_text(encoding='utf-8') == content:
        return
    for number, split in enumerate(PICTURES):
        place = task.annotated(folder, split)
        make_folder(place.images)
        plan = track(_plan(task, split, number), f'{task.world}, {split}', task.sizes[split],
                     'picture')
        boxed = {name for sort in BOXED[split] for name in task.things(sort)}
        pictures = []
        for index, names in enumerate(plan, start=1):
            image, things = draw(names, task.many_size if split == 'many' else task.image_size,
                                 np.random.default_rng([task.seed, number, index]))
            own = tuple(thing for thing in things if thing.name in boxed)
            pictures.append(world_files.Picture(index, image.width, image.height, own, '', ()))
            world_files.save_image(image, place.images / pictures[-1].file_name)
        for sort in (None, *BOXED[split]):
            write_text(task.annotated(folder, split, sort).ann_file, json.dumps(
                _annotations(task, BOXED[split] if sort is None else (sort, ), pictures)))
    write_text(done, content)


def _plan(task: ExemplarTask, split: str, number: int) -> Iterator[list[str]]:
    """Things of each picture: each of a sort is dealt once before any comes again."""
    rng = np.random.default_rng([task.seed, number, 0])
    decks: dict[str, list[str]] = {sort: [] for sort in PICTURES[split]}
    for _ in range(task.sizes[split]):
        names = []
        for sort, (fewest, most) in PICTURES[split].items():
            for _ in range(rng.integers(fewest, most, endpoint=True)):
                if not decks[sort]:
                    decks[sort] = rng.permutation(task.things(sort)).tolist()
                names.append(decks[sort].pop())
        yield names


def _annotations(task: ExemplarTask, sorts: Sequence[str],
                 pictures: Sequence[world_files.Picture]) -> dict:
    """COCO of some sorts, with the names that the model is asked in place of the things."""
    asked = {thing: name for sort in sorts
             for thing, name in zip(task.things(sort), task.asked(sort))}
    own = [replace(picture, things=tuple(t for t in picture.things if t.name in asked))
           for picture in pictures]
    content = world_files.coco(own, [
        dict(id=rank, name=thing, supercategory='') for rank, thing in enumerate(asked, start=1)])
    for category in content['categories']:
        category.update(name=asked[category['name']], supercategory=category['name'])
    return content
