"""Visual Genome objects: a detection vocabulary of frequent names, and line file or COCO json."""
from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from glipkit.data.formats.reading import as_box
from glipkit.data.preparation import Preparation, Step, stream_lines
from glipkit.data.preparation.detection import BoxBuilder, Detections, image_record, read_image_ids
from glipkit.data.preparation.detection_output import add_layout, write_set
from glipkit.errors import UserError

EXAMPLES = """examples:
  glipkit prepare visual-genome --objects objects.json --image-data image_data.json \\
      --aliases object_alias.txt --without-coco --out data/visual_genome
  glipkit prepare visual-genome --objects objects.json --image-data image_data.json \\
      --min-count 500 --leave-out instances_val2017.json --out data/visual_genome"""

VOCABULARY = 'annotations/visual_genome_vocabulary.json'
_OBJECTS = "Visual Genome's objects.json"
_IMAGE_DATA = "Visual Genome's image_data.json"


def prepare(options: argparse.Namespace) -> Preparation:
    """Writes the vocabulary, with counts, and ``annotations/visual_genome_train``."""
    if options.min_count < 1:
        raise UserError('--min-count of at least 1', f'{options.min_count}', 'raise it')
    prep = Preparation(options.out, 'visual_genome', redo=options.redo)
    aliases = read_aliases(options.aliases) if options.aliases else {}
    inputs = [options.objects, options.image_data, *options.leave_out,
              *([options.aliases] if options.aliases else [])]
    settings = {'without_coco': options.without_coco}
    with prep.step(VOCABULARY, inputs, {**settings, 'min_count': options.min_count}) as step:
        if not step.done:
            counts = count_names(step, options, aliases)
            step.write_json(choose_names(step, counts, options.min_count))
    write_set(prep, 'annotations/visual_genome_train', [*inputs, prep.path(VOCABULARY)], settings,
              lambda step: read_objects(step, options, aliases, _read_vocabulary(prep)),
              options.layout)
    return prep


def read_aliases(path: str) -> dict[str, str]:
    """Name -> the name that stands for it, of object_alias.txt.

    Each line lists names of one thing, the preferred one first. A preferred name that an earlier
    line replaces is replaced here too.
    """
    aliases: dict[str, str] = {}
    for _, line in stream_lines(path, 'an alias file with comma separated names'):
        names = [clean_object_name(name) for name in line.split(',')]
        target = aliases.get(names[0], names[0])
        if target:
            aliases.update({name: target for name in names if name})
    return aliases


def clean_object_name(name: str) -> str:
    """Small letters, single blanks, no full stop at the end."""
    return ' '.join(name.lower().split()).rstrip('. ')


def read_images(step: Step, options: argparse.Namespace) -> dict[int, dict[str, Any]]:
    """Image id -> file name 'VG_100K/1.jpg', width and height, without the images left out.

    An image counts as COCO's where ``coco_id`` says so.
    """
    left_out = set().union(*map(read_image_ids, options.leave_out))
    images = {}
    for i, (_, record) in enumerate(step.read_json(options.image_data, _IMAGE_DATA)):
        where = f'{options.image_data}: [{i}]'
        image_id, url = _field(record, 'image_id', int, where), _field(record, 'url', str, where)
        coco_id = record.get('coco_id')
        if coco_id is not None and (options.without_coco or coco_id in left_out):
            step.drop('images of COCO left out as asked for', f'{image_id} (COCO {coco_id})')
            continue
        images[image_id] = image_record('/'.join(url.split('/')[-2:]), record, where)
    if not images:
        raise UserError('images that remain', f'none of {options.image_data}',
                        'check --leave-out and --without-coco')
    return images


def named_objects(step: Step, path: str, aliases: Mapping[str, str],
                  ) -> Iterator[tuple[int, Mapping[str, Any], str, str]]:
    """Yields (image id, object record, its name, where it stands), the first name of each object.

    Raises:
        UserError: The file is damaged, or a record cannot be understood.
    """
    for i, (_, record) in enumerate(step.read_json(path, _OBJECTS)):
        where = f'{path}: [{i}]'
        image_id = _field(record, 'image_id', int, where)
        for j, thing in enumerate(_field(record, 'objects', list, where)):
            place = f'{where}.objects[{j}]'
            names = _field(thing, 'names', list, place)
            name = clean_object_name(names[0]) if names and isinstance(names[0], str) else ''
            yield image_id, thing, aliases.get(name, name), place


def count_names(step: Step, options: argparse.Namespace, aliases: Mapping[str, str]) -> Counter:
    """Number of objects per name, in the images that are kept."""
    images = read_images(step, options)
    objects = named_objects(step, options.objects, aliases)
    return Counter(name for image_id, _, name, _ in objects if image_id in images)


def choose_names(step: Step, counts: Counter, min_count: int) -> dict[str, int]:
    """The frequent names with their counts, most frequent first, then in alphabetical order.

    Raises:
        UserError: No name is frequent enough.
    """
    kept = {name: number for name, number in sorted(counts.items(), key=lambda c: (-c[1], c[0]))
            if number >= min_count and any(character.isalpha() for character in name)}
    if not kept:
        raise UserError(f'names of at least {min_count} objects', 'none', 'lower --min-count')
    step.count('classes', len(kept))
    step.count('objects', sum(kept.values()))
    rest = [name for name in sorted(counts) if name not in kept]
    for name in rest:
        step.drop('names that are too rare or have no letter', repr(name))
    return kept


def read_objects(step: Step, options: argparse.Namespace, aliases: Mapping[str, str],
                 vocabulary: Mapping[str, int]) -> Detections:
    """All objects whose name is in the vocabulary; category ids are its ranks from 1."""
    images = read_images(step, options)
    category_ids = {name: rank for rank, name in enumerate(vocabulary, start=1)}
    boxes = BoxBuilder()
    for image_id, thing, name, where in named_objects(step, options.objects, aliases):
        if image_id not in images:
            continue
        if name not in category_ids:
            step.drop('objects whose name is not in the vocabulary', f'{where} ({name})')
            continue
        xywh = as_box([thing.get(key) for key in 'xywh'], where, 'x, y, w, h')
        number = thing.get('object_id')
        boxes.add(image_id, category_ids[name], xywh,
                  box_id=number if type(number) is int else None)
    categories = [dict(id=rank, name=name) for name, rank in category_ids.items()]
    return Detections(images, categories, boxes.build())


def _read_vocabulary(prep: Preparation) -> dict[str, int]:
    return json.loads(prep.path(VOCABULARY).read_text(encoding='utf-8'))


def _field(record: Any, key: str, kind: type, where: str) -> Any:
    value = record.get(key) if isinstance(record, dict) else None
    if type(value) is not kind:
        raise UserError(f'a record with {key!r} ({kind.__name__})', f'{where}: {value!r}',
                        'check that this is the right file')
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this source."""
    parser.add_argument('--objects', required=True, metavar='FILE', help='objects.json')
    parser.add_argument('--image-data', required=True, metavar='FILE', help='image_data.json')
    parser.add_argument('--aliases', metavar='FILE', help='object_alias.txt')
    parser.add_argument('--min-count', type=int, default=100, metavar='N',
                        help='objects that a name needs to become a class (default: %(default)s)')
    parser.add_argument('--without-coco', action='store_true',
                        help='leave out every image that is in COCO too')
    parser.add_argument('--leave-out', nargs='+', default=[], metavar='FILE',
                        help='json files of COCO images to leave out (COCO, LVIS, a list of ids)')
    add_layout(parser)
