"""``glipkit prompt``: names learned from example pictures, as a task file."""
from __future__ import annotations

import argparse
from pathlib import Path

from glipkit.cli._command import add_command

EXAMPLES = '''examples:
  glipkit prompt --examples part.json --out part.safetensors
  glipkit prompt --examples parts/ --negatives look-alikes/ --out part.safetensors
  glipkit prompt --examples part.json --images photos/ --name "our part" --classes "cup, plate" \\
      --out table.safetensors
  glipkit prompt --examples part.json --steps 60 --out part.safetensors   # again the same file
  glipkit predict photos/ --task part.safetensors

The examples are pictures with boxes: a COCO json, or a folder of YOLO, Pascal VOC, Roboflow,
labelme, CSV or COCO files. Their classes become names; no word has to fit them. The same command
goes on where it was killed.
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    from glipkit.apis.index import default_model
    parser = add_command(subparsers, 'prompt', EXAMPLES)
    parser.add_argument('--examples', type=Path, required=True, metavar='FILE|DIR',
                        help='pictures of the things, with a box around every one in them')
    parser.add_argument('--images', type=Path, metavar='DIR',
                        help='images of a COCO json (default: where they usually are)')
    parser.add_argument('--negatives', type=Path, metavar='FILE|DIR',
                        help='what looks like the things and is not, boxed in the same way; or a '
                             'folder of pictures in which nothing is to be found')
    parser.add_argument('--negative-images', type=Path, metavar='DIR',
                        help='images of a COCO json of negatives')
    parser.add_argument('--name', help='name of the only class, in place of its own')
    parser.add_argument('--classes', metavar='"A, B"|FILE',
                        help='words that the task asks for too, or a query file')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE',
                        help='task file to write (.safetensors)')
    parser.add_argument('--model', default=default_model(),
                        help='model name or config (default: %(default)s)')
    parser.add_argument('--checkpoint', help='its weights: a file, owner/repository:file, or '
                        'random; default those of its name, fetched on first use')
    parser.add_argument('--seconds', type=float, default=60.,
                        help='time to learn in (default: %(default)g)')
    parser.add_argument('--steps', type=int,
                        help='exactly so many steps, whatever time they take; 0 for none '
                             '(default: until the time is over or nothing gets better)')
    parser.add_argument('--seed', type=int, default=0,
                        help='seed of the order of the pictures (default: %(default)s)')
    parser.add_argument('--box-format', choices=['xywh', 'xyxy', 'yolo'], default='xywh',
                        help='how boxes of a Hugging Face data set are written '
                             '(default: %(default)s)')
    parser.add_argument('--device', default='cpu',
                        help='cpu, cuda, cuda:1 or auto (default: %(default)s)')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from glipkit.apis.example_files import ExampleFiles
    from glipkit.apis.example_learning import LearnSettings
    from glipkit.apis.example_run import learn_files
    from glipkit.apis.query_files import read_query
    settings = LearnSettings(args.seconds, args.steps, args.seed)
    words = None if args.classes is None else read_query(args.classes)
    files = ExampleFiles(args.examples, args.images, args.negatives, args.negative_images,
                         args.name, args.box_format)
    task = learn_files(files, settings, args.out, args.model, args.checkpoint, args.device, words)
    facts = task.details
    names = ', '.join(task.strategy['names'])
    time = f', {facts["seconds"]:.0f} s' if 'seconds' in facts else ''
    print(f'learned {names} from {facts["images"]} images: {facts["steps"]} steps{time}')
    print(f'task: {args.out}')
    return 0
