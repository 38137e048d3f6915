"""``glipkit features``: what a model knows of regions, as numbers for other programs."""
from __future__ import annotations

import argparse
import sys

from glipkit.cli._command import add_command
from glipkit.common.collector import collector_paused

EXAMPLES = '''examples:
  glipkit features photos/ --boxes boxes.json --checkpoint rn50.pth --out feats
  glipkit features photos/ --boxes instances.json --checkpoint rn50.pth
  glipkit features photos/ --checkpoint rn50x4.pth --config regionclip-rn50x4
boxes.json: {"a.jpg": [[x1, y1, x2, y2], ...], ...} in pixels of the image, or a COCO json
result: one file per image, a.jpg.safetensors, with boxes (N, 4) and feats (N, D), not normalised
exit codes: 0 done, 1 done but for images that cannot be read, 2 wrong input
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = add_command(subparsers, 'features', EXAMPLES)
    parser.add_argument('images', nargs='+', metavar='IMAGES',
                        help='image files, folders (also those below), and patterns like '
                             '"photos/*.jpg"')
    parser.add_argument('--boxes', metavar='FILE.json',
                        help="boxes of each image (default: those of the model's own source)")
    parser.add_argument('--config', '--model', default='regionclip-rn50',
                        help='name or config of a model that reads regions (default: %(default)s)')
    parser.add_argument('--checkpoint', help="weights: a file, owner/repository:file, or random; "
                        "default: those of the model's name")
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1 (default: %(default)s)')
    parser.add_argument('--out', default='features', metavar='DIR',
                        help='folder of the files; the same command again goes on where it ended '
                             '(default: %(default)s)')
    parser.add_argument('--strict', action='store_true',
                        help='stop at the first image that cannot be read; without, such images '
                             'are named and left out, and the exit code is 1')
    parser.set_defaults(run=run, resumes=True)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from pathlib import Path

    from glipkit.errors import UserError
    with collector_paused():
        from glipkit.apis.images import list_images
        from glipkit.apis.predictor import Predictor
        from glipkit.apis.region_files import boxes_of, read_boxes, write_features
        from glipkit.cli.predict import weights_of

    # What is wrong with names and paths ends the command before the model is built.
    sources = list_images(args.images)
    if args.boxes is not None:
        boxes_of(sources, read_boxes(args.boxes))
    predictor = Predictor(args.config, weights_of(args.config, args.checkpoint), args.device)
    bad: list[UserError] = []
    skip = None if args.strict or len(sources) == 1 else bad.append
    counts = write_features(predictor, sources, Path(args.out), args.boxes, skip)
    for error in bad:
        print(f'glipkit features: left out {error.got}', file=sys.stderr)
    if not counts.written and not counts.there:
        raise UserError('an image that can be read whole', f'{len(bad)} that cannot, e.g. '
                        f'{bad[0].got}', 'replace the files or leave them out')
    before = f', {counts.there} were there before' if counts.there else ''
    print(f'{counts.regions} regions of {counts.written} images{before}: {args.out}')
    if counts.unnamed:
        print(f'{counts.unnamed} images are not named in {args.boxes}')
    if counts.lost:
        print(f'{len(counts.lost)} names in {args.boxes} are no image here, such as '
              f'{counts.lost[0]!r}')
    if bad:
        print(f'{len(bad)} of {len(sources)} images could not be read and were left out')
    return 1 if bad else 0
