"""``glipkit concepts``: a pool of words for pre-training, from captions."""
from __future__ import annotations

import argparse

from glipkit.cli._command import add_command

EXAMPLES = '''examples:
  glipkit concepts cc3m/*.tar --model regionclip-rn50 --checkpoint RN50.pt --out pool.safetensors
  glipkit concepts captions.txt --min-count 5 --model regionclip-mini --out pool.safetensors \\
      --names pool.txt
  glipkit concepts concepts.txt --given --model regionclip-rn50x4 --checkpoint RN50x4.pt \\
      --out pool_x4.safetensors
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = add_command(
        subparsers, 'concepts', EXAMPLES,
        'Counts the nouns of captions, embeds the frequent ones with the text encoder of a\n'
        'model, and writes names, counts and embeddings as one file. After an interruption the\n'
        'same command resumes.')
    parser.add_argument('sources', nargs='+', metavar='CAPTIONS',
                        help='.txt with a caption on each line, .jsonl, WebDataset .tar, .tsv of '
                             'captions, COCO .json of captions, or folders of such files')
    parser.add_argument('--out', required=True, metavar='FILE', help='the .safetensors to write')
    parser.add_argument('--model', required=True, metavar='CONFIG',
                        help='model name or config whose text encoder embeds')
    parser.add_argument('--checkpoint', metavar='FILE',
                        help='its weights; default: those that come with glipkit')
    parser.add_argument('--min-count', type=int, default=100, metavar='N',
                        help='captions that have to name a concept (default: %(default)s)')
    parser.add_argument('--templates', default='imagenet_and_name', metavar='NAME',
                        help='sentences that are averaged: name, imagenet, imagenet_and_name or '
                             'detection (default: %(default)s)')
    parser.add_argument('--phrases', default='rules', metavar='BACKEND',
                        help='rules, pattern, spacy or spacy:PIPELINE (default: %(default)s)')
    parser.add_argument('--given', action='store_true',
                        help='CAPTIONS are text files of concepts, which are all embedded')
    parser.add_argument('--names', metavar='FILE', help='text file of "name,count" to write too')
    parser.add_argument('--device', default='cpu',
                        help='device of the text encoder (default: %(default)s)')
    parser.set_defaults(run=run, resumes=True)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from glipkit.apis.build import checkpoint_for, load
    from glipkit.labelling.concepts import ConceptSettings, make_pool
    settings = ConceptSettings(args.min_count, args.templates, args.phrases)
    checkpoint = checkpoint_for(args.model, args.checkpoint)
    encoder = load(args.model, checkpoint, args.device).text_encoder
    bank = make_pool(args.sources, args.out, encoder, settings, args.names, args.given)
    print(f'{len(bank)} concepts of {bank.width} numbers each in {args.out}')
    return 0
