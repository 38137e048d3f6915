"""``glipkit pseudo-label``: captions become grounding data."""
from __future__ import annotations

import argparse
import sys

from glipkit.cli._command import add_command

EXAMPLES = '''examples:
  glipkit pseudo-label captions/ --images photos/ --out pseudo
  glipkit pseudo-label cc3m/*.tar --teacher glip-t-c --checkpoint glip-t-c.safetensors \\
      --device cuda --out cc3m_pseudo
  glipkit pseudo-label cc3m/ --engine ray --address auto --workers 8 --device cuda --out pseudo
  glipkit browse pseudo/00000-00000.jsonl --images photos/
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    from glipkit.apis.index import default_model
    parser = add_command(
        subparsers, 'pseudo-label', EXAMPLES,
        'Writes shards of captions with boxes, to train on beside gold data. After an\n'
        'interruption the same command resumes.')
    parser.add_argument('sources', nargs='+', metavar='SHARDS',
                        help='.jsonl or .tar shards, folders of them, or folders of images with '
                             '.txt captions')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder of the results')
    parser.add_argument('--images', metavar='DIR', help='folder of the images that .jsonl name')
    parser.add_argument('--teacher', '--model', default=default_model(), metavar='CONFIG',
                        help='model name or config (default: %(default)s)')
    parser.add_argument('--checkpoint', metavar='FILE',
                        help='weights of the teacher: a file, owner/repository:file, or random; '
                             'default: those of its name, fetched on first use')
    parser.add_argument('--device', default='cpu',
                        help='device of the teacher (default: %(default)s)')
    parser.add_argument('--dtype', default='float32', metavar='DTYPE',
                        help='what the teacher computes in, as for glipkit predict '
                             '(default: %(default)s)')
    parser.add_argument('--threshold', type=float, default=0.5,
                        help='keep boxes that score more (default: %(default)s)')
    parser.add_argument('--phrase-nms', type=float, default=0.5, metavar='IOU',
                        help='of two boxes of one phrase that overlap more, keep the better; '
                             '1 is off (default: %(default)s)')
    parser.add_argument('--cross-nms', type=float, default=0.9, metavar='IOU',
                        help='the same for boxes of different phrases; 1 is off '
                             '(default: %(default)s)')
    parser.add_argument('--leftover', type=float, default=1., metavar='SCORE',
                        help='a phrase without a box above --threshold keeps those above this '
                             'score where no other phrase has one; 1 is off (default: '
                             '%(default)s)')
    parser.add_argument('--leftover-share', type=float, default=0.7, metavar='SHARE',
                        help="of these, drop boxes below this share of the phrase's best score "
                             '(default: %(default)s)')
    parser.add_argument('--min-boxes', type=int, default=1, metavar='N',
                        help='leave out images with fewer (default: %(default)s)')
    parser.add_argument('--min-strong', type=int, default=0, metavar='N',
                        help='leave out images with fewer boxes above --strong-score')
    parser.add_argument('--strong-score', type=float, default=0.7,
                        help='for --min-strong (default: %(default)s)')
    parser.add_argument('--phrases', default='rules', metavar='BACKEND',
                        help='rules, pattern, spacy or spacy:PIPELINE (default: %(default)s)')
    parser.add_argument('--picture-words', action='store_true',
                        help="also ground 'a photo' of 'a photo of a dog'")
    parser.add_argument('--max-tokens', type=int, default=256, metavar='N',
                        help='word pieces of one prompt (default: %(default)s)')
    parser.add_argument('--batch-size', type=int, default=8,
                        help='images that go through the teacher together (default: %(default)s)')
    parser.add_argument('--part-size', type=int, default=256, metavar='N',
                        help='pairs per output shard (default: %(default)s)')
    parser.add_argument('--engine', choices=['local', 'ray'], default='local',
                        help='label in this process, or in many (default: %(default)s)')
    parser.add_argument('--workers', type=int,
                        help='threads of one core each, or processes of --engine ray; results do '
                             'not depend on it (default: all cores, or 2)')
    parser.add_argument('--address', help='address of a ray cluster; default: one on this machine')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from glipkit.apis.build import checkpoint_for
    from glipkit.labelling import LabelSettings, Teacher, pseudo_label
    settings = LabelSettings(
        score=args.threshold, phrase_nms=args.phrase_nms, cross_nms=args.cross_nms,
        leftover=args.leftover, leftover_share=args.leftover_share, min_boxes=args.min_boxes,
        min_strong=args.min_strong, strong_score=args.strong_score,
        backend=args.phrases, picture_words=args.picture_words, max_tokens=args.max_tokens,
        batch_size=args.batch_size)
    checkpoint = checkpoint_for(args.teacher, args.checkpoint)
    teacher = Teacher(str(args.teacher), str(checkpoint), args.device, dtype=args.dtype)
    manifest = pseudo_label(args.sources, args.out, teacher, settings, args.images,
                            args.part_size, args.engine, args.workers, args.address)
    width = max(map(len, manifest['counts']))
    for name, count in manifest['counts'].items():
        print(f'{name:{width}} {count}')
    if manifest['problems']:
        print(f'{manifest["problems"]} pairs gave nothing or are damaged: see '
              f'{args.out}/problems.txt',
              file=sys.stderr)
    print(f'{len(manifest["shards"])} shards in {args.out}')
    return 0
