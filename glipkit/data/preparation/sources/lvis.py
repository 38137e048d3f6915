"""LVIS v1: training set, validation set and minival as json without masks, with file names."""
from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from glipkit.data.preparation import Preparation, Step
from glipkit.data.preparation.detection import Detections, leave_out, read_coco, read_image_ids
from glipkit.data.preparation.detection_output import once, write_set
from glipkit.errors import UserError

EXAMPLES = """examples:
  glipkit prepare lvis --val lvis_v1_val.json --out data/lvis --check-images data/coco
  glipkit prepare lvis --val lvis_v1_val.json --minival lvis_v1_minival.json --out data/lvis
  glipkit prepare lvis --train lvis_v1_train.json --out data/lvis"""

IMAGE_KEYS = ('neg_category_ids', 'not_exhaustive_category_ids', 'coco_url')


def prepare(options: argparse.Namespace) -> Preparation:
    """Writes ``annotations/lvis_v1_{train,val,minival}.json``.

    Category records keep ``frequency``, images keep ``neg_category_ids`` and
    ``not_exhaustive_category_ids``: the federated metric needs all three.
    """
    if not (options.train or options.val):
        raise UserError('--train, --val or both', 'neither', 'name an LVIS json')
    if options.minival and not options.val:
        raise UserError('--val with --minival', 'no --val', 'name lvis_v1_val.json')
    prep = Preparation(options.out, 'lvis', redo=options.redo)
    if options.train:
        write_set(prep, 'annotations/lvis_v1_train', [options.train, *options.leave_out], {},
                  lambda step: leave_out(step, read_lvis(step, options.train), options.leave_out))
    if options.val:
        read = once(lambda step: read_lvis(step, options.val))
        write_set(prep, 'annotations/lvis_v1_val', [options.val], {}, read, clean=False)
        write_set(prep, 'annotations/lvis_v1_minival',
                  [options.val, *([options.minival] if options.minival else [])], {},
                  lambda step: minival(read(step), options.minival), clean=False)
    return prep


def read_lvis(step: Step, path: str) -> Detections:
    """An LVIS json, with file names relative to COCO's folder."""
    return read_coco(step, path, IMAGE_KEYS, file_name)


def file_name(record: Mapping[str, Any]) -> str | None:
    """Folder and name of an image, as 'val2017/000000397133.jpg'.

    LVIS v1 only has the address; its images come from both sets of COCO 2017.
    """
    url = record.get('coco_url')
    return '/'.join(url.split('/')[-2:]) if isinstance(url, str) else record.get('file_name')


def minival(val: Detections, path: str | None) -> Detections:
    """The part of the validation set that detectors trained on COCO have not seen.

    Args:
        val: The whole validation set.
        path: A json with the images, or None for those of COCO's val2017 (MDETR, .github/lvis.md:
            "the subset of the val that doesn't intersect with COCO train").

    Raises:
        UserError: The file lists an image that the validation set does not have, or no image of
            the validation set is from val2017.
    """
    if path is None:
        ids = {i for i, image in val.images.items() if image['file_name'].startswith('val2017/')}
        if not ids:
            raise UserError("LVIS images with addresses of COCO's val2017", 'none of them',
                            'pass the list with --minival')
        return val.select(ids, keep=True)
    ids = read_image_ids(path)
    strange = sorted(ids - val.images.keys())
    if strange:
        raise UserError('a minival list of images of the validation set',
                        f'{path}: {len(strange)} others, such as {strange[0]}',
                        'check that --val and --minival are of the same version')
    return val.select(ids, keep=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this source."""
    parser.add_argument('--train', metavar='FILE', help='lvis_v1_train.json')
    parser.add_argument('--val', metavar='FILE', help='lvis_v1_val.json; every box stays')
    parser.add_argument('--minival', metavar='FILE',
                        help='lvis_v1_minival.json, or a json list of image ids (default: the '
                        "validation images that are in COCO's val2017)")
    parser.add_argument('--leave-out', nargs='+', default=[], metavar='FILE',
                        help='json files whose images the training set shall not hold')
