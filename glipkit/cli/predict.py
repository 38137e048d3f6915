"""``glipkit predict``: find things in images by their names."""
from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glipkit.cli._command import add_command
from glipkit.cli._predict_video import add_video_arguments
from glipkit.cli._query import CLASSES, add_query_arguments, query_arguments
from glipkit.common.collector import collector_paused
from glipkit.common.video_names import stream_address

if TYPE_CHECKING:
    from glipkit.apis.detections import Detections
    from glipkit.apis.images import ImageSource
    from glipkit.apis.predictor import Predictor
    from glipkit.errors import UserError
    from glipkit.text.query import Query

FORMS = ('coco', 'yolo', 'voc', 'labelme', 'csv', 'jsonl')
OVERLAP = .2
EXAMPLES = '''examples:
  glipkit predict photo.jpg --classes "person, traffic light"
  glipkit predict photos/ --classes "red circle, blue star" --out found --save-images --csv
  glipkit predict photos/ --classes "dog, cat" --save yolo --save coco --out found
  glipkit predict photo.jpg --classes 'dog, "salt, pepper and oil"'
  glipkit predict photo.jpg --classes names.txt
  glipkit predict photo.jpg --classes query.yaml                  # other names, negatives, groups
  glipkit predict photo.jpg --classes "cup, plate" --negative-classes bowl
  glipkit predict photo.jpg --classes "with helmet, without helmet" \\
      --exclusive "with helmet, without helmet"
  glipkit predict photo.jpg --caption "a man walks two dogs" --phrases "0-5,12-20"
  glipkit predict photo.jpg --caption "a man walks two dogs" --threshold 0.5
  glipkit predict photo.jpg --classes "cup, mug" --all-labels     # both names on one cup
  glipkit predict photos/ --model clipself-b16 --classes "dog, grass, sky" --segment --save-images
  glipkit predict clip.mp4 --classes "person, dog" --track --every 5 --save-video --out found
  glipkit predict camera:0 --classes cup --save-video desk.mp4    # until Ctrl-C
  glipkit predict aerial/ --classes "car, ship" --tile 800 --save coco --out found
  glipkit predict photo.jpg --task work_dirs/fish/task.safetensors
  glipkit predict photo.jpg --model glip-t --classes dog          # its weights come from the hub
  glipkit predict photo.jpg --model glip-t-c --checkpoint glip-t-c.safetensors --classes dog
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    from glipkit.apis.index import default_model
    parser = add_command(subparsers, 'predict', EXAMPLES)
    parser.add_argument('images', nargs='+', metavar='IMAGES',
                        help='image files, folders of images (also those below), and patterns '
                             'like "photos/*.jpg"; videos; streams (rtsp://..., '
                             'stream:http://...); camera:0')
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument('--classes', metavar='"A, B"|FILE',
                       help=CLASSES)
    query.add_argument('--caption', metavar='TEXT', help='a sentence that names what to find')
    query.add_argument('--task', metavar='FILE',
                       help='a task that glipkit tune or prompt has learned: finds its classes')
    parser.add_argument('--phrases', metavar='"0-5,9-20"',
                        help="characters of the caption, end exclusive, or 'auto' (the default): "
                             'its noun phrases')
    add_query_arguments(parser)
    parser.add_argument('--config', '--model', default=default_model(),
                        help='model name or config (default: %(default)s)')
    parser.add_argument('--checkpoint',
                        help="weights: a file, owner/repository:file, or random; default: those "
                             "of the model's name, fetched on first use")
    parser.add_argument('--device', default='auto',
                        help='cpu, cuda, cuda:1, mps; auto (the default) takes a GPU where there '
                             'is one')
    parser.add_argument('--dtype', default='float32', metavar='DTYPE',
                        help='what the model computes in: float32, bf16, or half or '
                             'tf32 on a GPU (default: %(default)s)')
    parser.add_argument('--batch-size', type=int, default=1,
                        help='images, tiles or frames of one size that go through the model '
                             'together (default: %(default)s)')
    parser.add_argument('--tile', type=int, metavar='N',
                        help='see images in overlapping tiles of N x N pixels too, for small '
                             'things in large images')
    parser.add_argument('--overlap', type=float, default=OVERLAP, metavar='SHARE',
                        help='share of a tile that the next one sees too (default: %(default)s)')
    parser.add_argument('--threshold', type=float,
                        help="leave out scores below (default: the model's own, or those of the "
                             'classes of a calibrated task)')
    parser.add_argument('--all-labels', action='store_true',
                        help='keep every name that claims an object; without, only the best')
    parser.add_argument('--segment', action='store_true',
                        help='give every pixel one of the classes, by a model with a dense map: a '
                             'label PNG per image and classes.txt')
    parser.add_argument('--long-side', type=int, metavar='N',
                        help="for --segment: pixels of the image's longer side in the model; above "
                             "the config's it sees windows (default: as the config says)")
    parser.add_argument('--out', metavar='DIR',
                        help='folder for what is saved (default: predictions); alone, it means '
                             '--json, and for a video its rows, which may be named: FILE.jsonl')
    parser.add_argument('--save-images', action='store_true',
                        help='save pictures with the boxes, or with the classes of pixels')
    parser.add_argument('--save', action='append', default=[], metavar='FORM', choices=FORMS,
                        help=f'save boxes for other programs: {", ".join(FORMS)}; may be given '
                             'several times')
    parser.add_argument('--csv', action='store_true', help='as --save csv')
    parser.add_argument('--json', action='store_true', help='save predictions.json')
    parser.add_argument('--strict', action='store_true',
                        help='stop at the first image that cannot be read; without, such images '
                             'are named and left out, and the exit code is 1')
    add_video_arguments(parser)
    parser.set_defaults(run=run, takes_address=stream_address)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    with collector_paused():
        from glipkit.apis.asking import check_query, make_query
        from glipkit.apis.images import list_images, without_results
        from glipkit.apis.predictor import Predictor
        from glipkit.apis.tile_windows import Tiles
        from glipkit.cli._predict_video import plan_videos, watch_videos
        from glipkit.errors import UserError

    # Whatever is wrong with names and paths ends the command before the model is built.
    asked = dict(query_arguments(args), caption=args.caption, phrases=_phrases(args.phrases))
    if args.task is None:
        check_query(make_query(**asked))
    _check_segment(args)
    if args.tile is not None:
        Tiles(args.tile, args.overlap)
    elif args.overlap != OVERLAP:
        raise UserError('--tile with --overlap', 'it alone', 'add e.g. --tile 800')
    images, videos = plan_videos(args)
    sources = list_images(images) if images else []
    out = _check_out(args) if images else None
    if out is not None:
        sources = list_images(without_results(sources, images, out))
    checkpoint = weights_of(args.config, args.checkpoint)
    predictor = Predictor(args.config, checkpoint, args.device, args.batch_size, args.threshold,
                          args.task, per_object='all' if args.all_labels else 'one',
                          dtype=args.dtype)
    if args.segment:
        return _segment(args, predictor, sources, asked['classes'], out)
    asked |= dict(tile=args.tile, overlap=args.overlap)
    code = _find(args, predictor, sources, asked, out) if images else 0
    return watch_videos(args, predictor, videos, asked, checkpoint) or code if videos else code


def _find(args: argparse.Namespace, predictor: Predictor, sources: list[ImageSource],
          asked: dict[str, Any], out: Path | None) -> int:
    """Finds things in images; returns the exit code."""
    from glipkit.apis.prediction_files import PredictionFiles
    bad: list[UserError] = []
    skip = None if args.strict or len(sources) == 1 else (lambda _, error: bad.append(error))
    counts: Counter[str] = Counter()
    read = 0
    forms = args.save + ['json'] * args.json + ['csv'] * args.csv
    paths = [source.path for source in sources]
    with PredictionFiles(out, forms, args.save_images, paths) as files:
        try:
            for found in predictor.stream(sources, **asked, skip=skip):
                files.add(found)
                read += 1
                counts.update(found.names)
        finally:
            for error in bad if read else ():
                print(f'glipkit predict: left out {error.got}', file=sys.stderr)
    _check_read(read, bad)
    if len(sources) == 1:
        _list(found)
    _summarise(counts, read, len(bad), out)
    return 1 if bad else 0


def _check_read(read: int, bad: list[UserError]) -> None:
    from glipkit.errors import UserError
    if not read:
        raise UserError('an image that can be read whole', f'{len(bad)} that cannot, e.g. '
                        f'{bad[0].got}', 'replace the files or leave them out')


def _check_segment(args: argparse.Namespace) -> None:
    """Refuses options that --segment does not know, or that need it."""
    from glipkit.errors import UserError
    strange = [name for name, given in (('--caption', args.caption), ('--csv', args.csv),
                                        ('--json', args.json), ('--save', args.save),
                                        ('--tile', args.tile), ('--exclusive', args.exclusive),
                                        ('--negative-classes', args.negative_classes)) if given]
    if args.segment and strange:
        raise UserError('--segment with --classes or --task', ', '.join(strange),
                        'leave one of them out')
    if args.long_side is not None and not args.segment:
        raise UserError('--long-side with --segment', 'it alone', 'add --segment')


def _segment(args: argparse.Namespace, predictor: Predictor, sources: list[ImageSource],
             classes: Query | None, out: Path) -> int:
    """Labels the pixels of all images; returns the exit code."""
    from glipkit.apis.segmentation_files import SegmentationFiles
    paths = [source.path for source in sources]
    files, bad, read = SegmentationFiles(out, args.save_images, paths), [], 0
    shares: Counter[str] = Counter()
    skip = None if args.strict or len(sources) == 1 else (lambda _, error: bad.append(error))
    for found in predictor.stream_segments(sources, classes, long_side=args.long_side, skip=skip):
        files.add(found)
        read += 1
        shares.update(found.shares())
    for error in bad:
        print(f'glipkit predict: left out {error.got}', file=sys.stderr)
    _check_read(read, bad)
    for name, share in shares.most_common(10):
        print(f'{share / read:6.1%}  {name}')
    print(f'saved to {out}')
    return 1 if bad else 0


def _phrases(text: str | None) -> str | list[tuple[int, int]] | None:
    """'0-5,9-20' to spans; 'auto' and None stay."""
    from glipkit.errors import UserError
    if text is None or text == 'auto':
        return text
    try:
        pairs = [part.split('-') for part in text.split(',')]
        return [(int(start), int(end)) for start, end in pairs]
    except ValueError as error:
        raise UserError("phrases as '0-5,9-20' or 'auto'", repr(text),
                        'count characters from 0; end is the first one after the phrase') \
            from error


def weights_of(config: str, checkpoint: str | None) -> str | Path:
    """The checkpoint to use, on this machine before the model is built."""
    from glipkit.apis.build import RANDOM, checkpoint_for, find_config
    from glipkit.checkpoints.hub import resolve
    if not checkpoint or checkpoint == RANDOM:
        return checkpoint_for(config, checkpoint)
    find_config(config)
    return resolve(checkpoint)


def _check_out(args: argparse.Namespace) -> Path | None:
    """The folder to save to, if anything is to be saved."""
    from glipkit.errors import UserError
    if args.out and not (args.save_images or args.csv or args.save or args.segment):
        args.json = True
    if not (args.save_images or args.csv or args.json or args.save or args.segment):
        return None
    out = Path(args.out or 'predictions')
    if out.exists() and not out.is_dir():
        raise UserError('a folder for --out', f'the file {out}', 'pass another name')
    # Known before the work is done; what the system allows in the end is another matter.
    above = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if above.is_dir() and not os.access(above, os.W_OK | os.X_OK):
        raise UserError('a folder for --out that can be written to', str(above),
                        'pass another place')
    return out


def _list(found: Detections) -> None:
    for box, score, _, name in found:
        print(f'{score:.2f}  {name:24}  ' + ' '.join(f'{v:.0f}' for v in box))


def _summarise(counts: Counter[str], read: int, bad: int, out: Path | None) -> None:
    names = ', '.join(f'{count} x {name}' for name, count in counts.most_common(10))
    more = f' and {len(counts) - 10} other names' if len(counts) > 10 else ''
    images = f'{read} image' + ('s' if read != 1 else '')
    print(f'{sum(counts.values())} found in {images}' + (f': {names}{more}' if names else ''))
    if bad:
        print(f'{bad} of {read + bad} images could not be read and were left out')
    if out is not None:
        print(f'saved to {out}')
