"""``glipkit prepare``: annotations for the readers, from the files of a published data set."""
from __future__ import annotations

import argparse
import importlib
from functools import partial

from glipkit.cli._command import add_command

# What each source is, so that `glipkit prepare --help` need not import any of them.
SOURCES = {
    'captions': 'images with captions (CC3M, CC12M, SBU, or your own), for pseudo-labelling',
    'coco': 'COCO: instances json without masks',
    'flickr30k': 'Flickr30k Entities: captions with boxes for their phrases',
    'imagenet-boxes': 'ImageNet: one box xml per image',
    'lvis': 'LVIS v1: training set, validation set and minival',
    'mixed-grounding': 'captions over Visual Genome, GQA and RefCOCO (GoldG without Flickr30k)',
    'objects365': 'Objects365, v1 and v2',
    'odinw': 'object detection in the wild: the official zips, unpacked and checked',
    'openimages': 'OpenImages boxes, v4 to v7 and the challenges',
    'visual-genome': 'Visual Genome: objects with frequent names',
}

DESCRIPTION = '''Writes annotations that glipkit's readers take, from the files that the owners of a
data set publish. Images are neither copied nor changed. The same command again keeps what is
complete and makes what is missing, also after an interruption.'''

EXAMPLES = '''examples:
  glipkit prepare coco --train instances_train2017.json --val instances_val2017.json --out data/coco
  glipkit prepare objects365 --train zhiyuan_objv2_train.json --out data/objects365
  glipkit prepare flickr30k flickr30k_entities --out data/flickr30k
  glipkit prepare captions --folder photos --out data/mine
  glipkit prepare SOURCE --help
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = add_command(subparsers, 'prepare', EXAMPLES, DESCRIPTION)
    sources = parser.add_subparsers(dest='source', metavar='SOURCE', required=True)
    for name, summary in SOURCES.items():
        sources.add_parser(name, help=summary, complete=partial(_add_arguments, name),
                           formatter_class=argparse.RawDescriptionHelpFormatter)


def _add_arguments(name: str, parser: argparse.ArgumentParser) -> None:
    """The options of every source and those of this one."""
    module = importlib.import_module(
        f'glipkit.data.preparation.sources.{name.replace("-", "_")}')
    parser.description, parser.epilog = module.__doc__, module.EXAMPLES
    parser.add_argument('--out', required=True, metavar='DIR',
                        help='folder of the prepared files; files that are complete are kept')
    parser.add_argument('--redo', action='store_true', help='make complete files again')
    parser.add_argument('--check-images', metavar='DIR',
                        help='folder of the images: count those that the prepared files name and '
                        'that are not there')
    module.add_arguments(parser)
    parser.set_defaults(run=run, prepare=module.prepare, prog=parser.prog, resumes=True)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    preparation = args.prepare(args)
    if args.check_images:
        preparation.check_images(args.check_images)
    print(preparation.report())
    return 0
