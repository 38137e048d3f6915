"""Downstream tasks of the transfer benchmark: small COCO data sets of the shapes world.

Most classes come from combinations that pre-training never showed or named. A task has them under
their own names (``unseen``) or under invented words (``invented``); the words of ``word-N`` name
one class, which a hand-written prompt describes. Those of ``captioned`` are things that captions
alone showed and named. ``held-out`` is what else the model knew before.
"""
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from glipkit.common.reporter import track
from glipkit.files import make_folder, write_text
from glipkit.tuning.settings import AnnotatedImages
from glipkit.worlds import shapes, world_files
from glipkit.worlds.shape_vocabulary import all_combinations, splits

#: The tasks that strategies learn; scores are means over them.
LEARNT = ('invented', 'unseen')
#: Those that are learnt from a few shots: with words that only captions teach.
CAPTIONED = 'captioned'
FEW_SHOT = (*LEARNT, CAPTIONED)
#: Words that no caption has.
INVENTED = ('dax', 'wug', 'blicket', 'toma', 'fep', 'zorp', 'modi', 'tulver', 'gazzer', 'kiv')
CLASSES = 6
HELD_OUT = 'held-out'
#: Held-out combinations of each group: shown in pre-training, and never shown.
HELD_OUT_EACH = 12
OBJECTS = (1, 3)
OTHERS = (1, 2)
IMAGE_SIZE = shapes.DEFAULT_IMAGE_SIZE


@dataclass(frozen=True)
class DownstreamTask:
    """A task before it is drawn.

    Args:
        name: Name for files and tables.
        classes: Class name -> the combination that it names.
        others: Combinations that pictures show too, without boxes: near misses.
        sizes: Split -> number of pictures.
        seed: Seed of the pictures.
    """
    name: str
    classes: Mapping[str, str]
    others: Sequence[str]
    sizes: Mapping[str, int]
    seed: int

    def annotated(self, folder: Path, split: str) -> AnnotatedImages:
        """A split on disk, once `write` has been called with the same folder."""
        return AnnotatedImages(folder / self.name / f'{split}.json', folder / self.name / split)


def plan_tasks(sizes: Mapping[str, int], word_seeds: Sequence[int],
               seed: int = 0) -> dict[str, DownstreamTask]:
    """All tasks, with disjoint classes but for the word tasks, whose class is one of all unseen.

    Args:
        sizes: ``train``, ``val``, ``test`` and ``held_out`` -> pictures.
        word_seeds: One ``word-SEED`` task each, with another word and combination.
        seed: Seed of the choice of classes, and of all pictures.

    Returns:
        Name -> task.
    """
    groups = splits().names()
    rng = np.random.default_rng([seed, 0])
    unseen, seen = (rng.permutation(groups[group]).tolist() for group in ('unseen', 'seen'))
    learnt = {split: sizes[split] for split in ('train', 'val', 'test')}
    own = [unseen[i * CLASSES:(i + 1) * CLASSES] for i in range(len(LEARNT))]
    names = dict(invented=list(INVENTED[:CLASSES]), unseen=own[1])
    found = {
        name: DownstreamTask(name, dict(zip(names[name], combinations)), near(combinations),
                             learnt, seed + 1 + i)
        for i, (name, combinations) in enumerate(zip(LEARNT, own))}
    captioned = rng.permutation(groups['caption_only'])[:CLASSES].tolist()
    found[CAPTIONED] = DownstreamTask(CAPTIONED, {name: name for name in captioned},
                                      near(captioned), learnt, seed + 1 + len(LEARNT))
    kept = unseen[len(LEARNT) * CLASSES:][:HELD_OUT_EACH] + seen[:HELD_OUT_EACH]
    found[HELD_OUT] = DownstreamTask(HELD_OUT, {name: name for name in kept}, (),
                                     dict(test=sizes['held_out']), seed + 10)
    for word_seed in word_seeds:
        draw = np.random.default_rng([seed, 1, word_seed])
        combination = str(draw.choice(groups['unseen']))
        found[f'word-{word_seed}'] = DownstreamTask(
            f'word-{word_seed}', {str(draw.choice(INVENTED)): combination}, near([combination]),
            # A word is scored on its test pictures; the others are there for the search alone.
            dict(train=8, val=sizes['val'], test=sizes['test']), seed + 100 + word_seed)
    return found


def near(combinations: Sequence[str]) -> list[str]:
    """Other seen combinations that share two or more words with one of these, the noun among them.

    Args:
        combinations: Category names.
    """
    found = []
    for item in splits().seen:
        own = set(item.terms)
        if any(other.split()[-1] == item.shape and len(own & set(other.split())) >= 2
               for other in combinations):
            found.append(item.name)
    return found


def write(task: DownstreamTask, folder: Path) -> None:
    """Draws a task into ``folder/NAME``; nothing is done where it is complete.

    Raises:
        UserError: Nothing can be written there.
    """
    done = folder / task.name / 'task.json'
    content = json.dumps(asdict(task), indent=1) + '\n'
    if done.is_file() and done.read_text(encoding='utf-8') == content:
        return
    for number, (split, count) in enumerate(sorted(task.sizes.items())):
        drawn = task.annotated(folder, split)
        make_folder(drawn.images)
        plan = track(_plan(task, count, number), f'{task.name}, {split}', count, 'picture')
        pictures = [_picture(task, drawn.images, index, names, number)
                    for index, names in enumerate(plan, start=1)]
        write_text(drawn.ann_file, json.dumps(_annotations(task, pictures)))
    write_text(done, content)


def _plan(task: DownstreamTask, count: int, split: int) -> Iterator[list[str]]:
    """Combinations of each picture: its own classes, each dealt once before any comes again."""
    rng = np.random.default_rng([task.seed, split, 0])
    deck: list[str] = []
    own = list(task.classes.values())
    for _ in range(count):
        names = []
        for _ in range(rng.integers(OBJECTS[0], OBJECTS[1] + 1)):
            if not deck:
                deck = rng.permutation(own).tolist()
            names.append(deck.pop())
        if task.others:
            names += rng.choice(list(task.others), rng.integers(*OTHERS, endpoint=True)).tolist()
        yield names


def _picture(task: DownstreamTask, folder: Path, number: int, names: Sequence[str],
             split: int) -> world_files.Picture:
    image, things = shapes.draw_scene(names, IMAGE_SIZE,
                                      np.random.default_rng([task.seed, split, number]))
    own = set(task.classes.values())
    picture = world_files.Picture(number, image.width, image.height,
                                  tuple(thing for thing in things if thing.name in own), '', ())
    world_files.save_image(image, folder / picture.file_name)
    return picture


def _annotations(task: DownstreamTask, pictures: Sequence[world_files.Picture]) -> dict:
    """COCO, with the task's names in place of the combinations."""
    kinds = {item.name: item.shape for item in all_combinations()}
    categories = [dict(id=rank, name=combination, supercategory=kinds[combination])
                  for rank, combination in enumerate(task.classes.values(), start=1)]
    content = world_files.coco(pictures, categories)
    for category, name in zip(content['categories'], task.classes):
        category.update(name=name)
    return content
