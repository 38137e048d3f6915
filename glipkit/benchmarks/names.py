"""How well a model names things while it is asked for more and more names that are not there.

Every picture is asked for the names of its own things, and for further ones of the vocabulary. AP
hardly shows what these do, since it ranks the pictures of each class apart; a person sees it at
once. See :mod:`glipkit.evaluation.functional.naming` for the two measures. A model whose scores
mean the same whatever else is asked loses nothing from the first row to the last.
"""
from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from glipkit.apis.build import checkpoint_for, find_config, read_config
from glipkit.apis.index import default_model
from glipkit.apis.predictor import Predictor
from glipkit.common.digests import file_sha256
from glipkit.common.reporter import note, track
from glipkit.data.formats.coco_json import CocoJson, read_coco_json
from glipkit.errors import UserError
from glipkit.evaluation.functional.naming import naming
from glipkit.evaluation.metrics.classes import read_groups
from glipkit.files import make_folder
from glipkit.runs.folder import claim
from glipkit.runs.results import write_json
from glipkit.runs.units import Unit, run_units

SUMMARY = 'whether names are right while more and more names are asked for'
EXAMPLES = '''examples:
  glipkit bench names --data data/shapes
  glipkit bench names --model glip-photo --data data/stamps --pictures 60 --out bench
  glipkit bench names --model my_config.py --checkpoint my.pth --data data/shapes --further 0 6 all

With --out, the same command again resumes.
'''
ALL = 'all'
#: Pictures of a unit of work: so many are done again after a kill.
CHUNK = 20
#: Seconds of a picture, and of each prompt of about eight names, on one thread; for the estimate.
PICTURE, NAME = .1, .02
NOTES = (
    'Best label: share of the objects whose best overlapping detection (IoU 0.5) has the right '
    'name. Labels per object: detections at the default threshold, of all classes.',
    'Every picture is asked for the names of its own things and for as many further names of the '
    'vocabulary; those of a row are among those of the next.')


@dataclass(frozen=True)
class Asked:
    """What is asked of every picture.

    Args:
        truth: Pictures, things and vocabulary.
        images: Folder of the pictures.
        chosen: Ids of the pictures that are asked.
        seed: Seed of the further names.
    """
    truth: CocoJson
    images: Path
    chosen: tuple[int, ...]
    seed: int

    def names(self, image_id: int, further: int | None) -> list[int]:
        """Category ids: those of the picture's things and further ones, in the file's order.

        Args:
            image_id: Id of the picture.
            further: Number of the further ones; None takes all.
        """
        own = {row['category_id'] for row in self.truth.annotations
               if row['image_id'] == image_id}
        others = [category for category in self.truth.classes if category not in own]
        order = np.random.default_rng([self.seed, image_id]).permutation(len(others))
        drawn = {others[i] for i in order[:further]}
        return [category for category in self.truth.classes if category in own | drawn]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Registers what the command line takes."""
    parser.add_argument('--model', '--config', dest='config', default=default_model(),
                        metavar='MODEL', help='model name or config (default: %(default)s)')
    parser.add_argument('--checkpoint', help="weights: a file, owner/repository:file, or random; "
                                             "default: those of the model's name")
    parser.add_argument('--data', type=Path, required=True, metavar='DIR',
                        help='folder of a world, from glipkit world')
    parser.add_argument('--pictures', type=int, default=60, metavar='N',
                        help='the first validation pictures (default: %(default)s)')
    parser.add_argument('--further', nargs='+', default=['0', '6', '30', '100', ALL], metavar='N',
                        help='further names, numbers or all (default: 0 6 30 100 all)')
    parser.add_argument('--seed', type=int, default=0,
                        help='of the further names (default: %(default)s)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1 (default: %(default)s)')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Asks every picture for every number of names.

    Args:
        args: Arguments of `add_arguments`, and ``out``.

    Returns:
        ``setting``, ``notes`` and ``rows``, one per number of further names.

    Raises:
        UserError: Impossible numbers, no world, no weights, or an --out that holds a run of other
            settings.
    """
    numbers = _numbers(args)
    config = find_config(args.config)
    asked = _read_world(args)
    groups = read_groups(str(args.data / 'annotations/splits.json'), asked.truth.id_of_name,
                         asked.truth.path)
    checkpoint = checkpoint_for(args.config, args.checkpoint)
    predictor = Predictor(config, checkpoint, args.device, per_object='all')
    with ExitStack() as stack:
        if args.out is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        else:
            folder = args.out / 'names'
            claim(folder, _identity(args, checkpoint, read_config(config).text))
        make_folder(folder / 'units')
        files = _find(predictor, asked, numbers, folder / 'units')
        rows = [_row(number, asked, groups, _joined(files[number]), predictor.score_threshold)
                for number in numbers]
    return {'setting': {'config': args.config, 'pictures': len(asked.chosen),
                        'vocabulary': len(asked.truth.classes), 'seed': args.seed,
                        'threshold': predictor.score_threshold},
            'rows': rows, 'notes': [*NOTES]}


def _numbers(args: argparse.Namespace) -> list[int | None]:
    """The numbers of further names, each once; None is all."""
    if args.pictures < 1 or args.seed < 0:
        raise UserError('--pictures of at least 1 and --seed of at least 0',
                        f'{args.pictures} and {args.seed}', 'pass larger numbers')
    for word in args.further:
        if word != ALL and not word.isdecimal():
            raise UserError('--further as numbers of at least 0, or all', repr(word),
                            'pass e.g. --further 0 30 all')
    return [None if word == ALL else int(word) for word in dict.fromkeys(args.further)]


def _read_world(args: argparse.Namespace) -> Asked:
    path = args.data / 'annotations/val.json'
    if not path.is_file():
        raise UserError('the folder of a world', f'{args.data}, which has no {path.name}',
                        'make one: glipkit world shapes --out data/shapes')
    truth = read_coco_json(path)
    return Asked(truth, args.data / 'images/val', tuple(truth.images)[:args.pictures], args.seed)


def _identity(args: argparse.Namespace, checkpoint: str | Path, config: str) -> dict[str, Any]:
    """What the units depend on."""
    weights = file_sha256(checkpoint) if Path(checkpoint).is_file() else str(checkpoint)
    return {'config': config, 'weights': weights, 'pictures': args.pictures, 'seed': args.seed,
            'world': file_sha256(args.data / 'annotations/val.json')}


def _find(predictor: Predictor, asked: Asked, numbers: Sequence[int | None],
          folder: Path) -> dict[int | None, list[Path]]:
    """Detections of all pictures as files, in units that are done once."""
    units, files = [], {}
    for number in numbers:
        count = len(asked.truth.classes) if number is None else number
        for start in range(0, len(asked.chosen), CHUNK):
            part = asked.chosen[start:start + CHUNK]
            name = f'{ALL if number is None else number} further names, pictures from {start + 1}'
            path = folder / f'{ALL if number is None else number}-{start}.json'
            units.append(Unit(name, path, len(part) * (PICTURE + NAME * count), partial(
                _ask, predictor, asked, number, part, path, name)))
            files.setdefault(number, []).append(path)
    note(f'{len(units)} units, {sum(unit.done for unit in units)} of them done')
    run_units(units)
    return files


def _ask(predictor: Predictor, asked: Asked, number: int | None, part: Sequence[int], path: Path,
         title: str) -> None:
    """One unit: what is found in some pictures, as COCO results."""
    found, counts = [], []
    for image_id in track(part, title, unit='image'):
        ids = asked.names(image_id, number)
        if not ids:  # a picture of nothing, with no further names
            continue
        one, = predictor(asked.images / asked.truth.images[image_id]['file_name'],
                         [asked.truth.classes[i] for i in ids], score_threshold=0.)
        found += one.to_coco(image_id, ids)
        counts.append(len(ids))
    write_json(path, {'detections': found, 'asked': counts})


def _joined(paths: Sequence[Path]) -> dict[str, list]:
    parts = [json.loads(path.read_text(encoding='utf-8')) for path in paths]
    return {key: [row for part in parts for row in part[key]] for key in ('detections', 'asked')}


def _row(number: int | None, asked: Asked, groups: dict[str, list[int]], found: dict[str, list],
         shown_above: float) -> dict[str, Any]:
    truth = asked.truth
    seen = naming(asked.chosen, truth.classes, truth.annotations, found['detections'], groups,
                  shown_above)
    counts = found['asked']
    return {'further names': ALL if number is None else number,
            'asked, mean': round(float(np.mean(counts)), 1) if counts else 0,
            'best label': round(seen.best_label, 3),
            **{f'best label, {group}': round(share, 3) for group, share in seen.groups.items()},
            'labels per object': round(seen.labels_per_object, 2)}
