"""Objects365, v1 and v2: line file with a label map, or COCO json; names spelled in English."""
from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any

from glipkit.data.preparation import Preparation, Step
from glipkit.data.preparation.detection import Detections, read_coco
from glipkit.data.preparation.detection_output import add_layout, write_set
from glipkit.errors import UserError

EXAMPLES = """examples:
  glipkit prepare objects365 --train zhiyuan_objv2_train.json --val zhiyuan_objv2_val.json \\
      --out data/objects365
  glipkit prepare objects365 --train objects365_train.json --layout coco --out data/o365_v1
  glipkit prepare objects365 --train zhiyuan_objv2_train.json --keep-names --out data/o365"""


def prepare(options: argparse.Namespace) -> Preparation:
    """Writes ``annotations/objects365_train`` in the layout asked for, ``objects365_val.json``.

    Image files are named 'patch16/objects365_v2_00908726.jpg' for v2, whose archives unpack to
    such folders, and as in the source for v1.
    """
    if not (options.train or options.val):
        raise UserError('--train, --val or both', 'neither', 'name an Objects365 json')
    resource = files('glipkit.data.preparation').joinpath('objects365.json')
    known = json.loads(resource.read_text(encoding='utf-8'))
    if options.keep_names:
        known['names'] = {}
    prep = Preparation(options.out, 'objects365', redo=options.redo)
    settings = {'known': known}
    if options.train:
        write_set(prep, 'annotations/objects365_train', [options.train], settings,
                  lambda step: read_objects365(step, options.train, known), options.layout)
    if options.val:
        write_set(prep, 'annotations/objects365_val', [options.val], settings,
                  lambda step: read_objects365(step, options.val, known), clean=False)
    return prep


def read_objects365(step: Step, path: str, known: Mapping[str, Any]) -> Detections:
    """An Objects365 json.

    Args:
        step: Shows the bar, counts what is dropped.
        path: The file.
        known: ``names`` (misspelled name -> right name) and ``missing`` (images without a file).
    """
    detections = read_coco(step, path, file_name=file_name)
    missing = {i for i, image in detections.images.items()
               if image['file_name'] in known['missing']}
    for image_id in missing:
        step.drop('images that the archives lack', detections.images[image_id]['file_name'])
    categories = [{**category, 'name': known['names'].get(name, name)}
                  for category in detections.categories for name in [category['name'].strip()]]
    return replace(detections.select(missing, keep=False), categories=categories)


def file_name(record: Mapping[str, Any]) -> str | None:
    """'patch8/x.jpg' of 'images/v1/patch8/x.jpg'; other names as they are."""
    name = record.get('file_name')
    parts = name.split('/') if isinstance(name, str) else []
    return '/'.join(parts[-2:]) if len(parts) > 1 and parts[-2].startswith('patch') else name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this source."""
    parser.add_argument('--train', metavar='FILE', help='training json')
    parser.add_argument('--val', metavar='FILE',
                        help='validation json; every box stays, written as COCO json')
    add_layout(parser)
    parser.add_argument('--keep-names', action='store_true',
                        help="leave the release's misspelled class names as they are")
