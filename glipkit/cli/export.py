"""``glipkit export``: write a model for programs without PyTorch."""
from __future__ import annotations

import argparse
from pathlib import Path

from glipkit.cli._command import add_command
from glipkit.cli._query import CLASSES, add_query_arguments, query_arguments

DESCRIPTION = '''Writes a model and the names it looks for as one file: ONNX, which onnxruntime and
many other programs run, or OpenVINO's own form. One image goes in; boxes, scores and labels come
out. Everything around the graph (names, threshold, how pixels become its input) is in the file's
metadata, and glipkit.runtime runs it without PyTorch. See docs/export.md.'''

EXAMPLES = '''examples:
  glipkit export glip-mini --classes "red circle, blue star" --out model.onnx
  glipkit export glip-mini --task task.safetensors --format openvino --out model.xml
  glipkit export glip-t-c --checkpoint glip-t-c.safetensors --classes names.txt \\
      --size 1344x800 --out model.onnx
  glipkit export glip-mini --classes "red circle" --text-input --out open.onnx
  glipkit export glip-mini --classes "blue star, green ring" --format words --out other.npz
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = add_command(subparsers, 'export', EXAMPLES, DESCRIPTION)
    parser.add_argument('model', metavar='MODEL', help='model name or config')
    parser.add_argument('--classes', metavar='"A, B"|FILE',
                        help=CLASSES)
    add_query_arguments(parser)
    parser.add_argument('--task', type=Path, metavar='FILE',
                        help='task file of glipkit tune, which brings its names')
    parser.add_argument('--format', default='onnx', metavar='FORMAT',
                        help='onnx, openvino, or words: the words alone for a model that was '
                             'exported with --text-input (default: %(default)s)')
    parser.add_argument('--out', type=Path, required=True, metavar='PATH',
                        help='the new file: .onnx, .xml (its .bin beside it) or .npz')
    size = parser.add_mutually_exclusive_group()
    size.add_argument('--size', metavar='WxH', help='fixed size of the image, in pixels')
    size.add_argument('--dynamic', action='store_true',
                      help='images of any size, as the predictor sees them (the default, for '
                           'models that can)')
    parser.add_argument('--text-input', action='store_true',
                        help='keep what the model knows of the names as an input of the graph; it '
                             'is written beside it, as .npz')
    parser.add_argument('--nms', action='store_true',
                        help='suppress overlapping boxes in the graph; default: raw outputs')
    parser.add_argument('--dtype', default='float32', metavar='DTYPE',
                        help='float32; with openvino also float16 (weights) and bf16 (arithmetic) '
                             '(default: %(default)s)')
    parser.add_argument('--checkpoint', help="weights: a file, owner/repository:file, or random; "
                                             "default: those of the model's name")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from glipkit.export.settings import ExportSettings, check_place, read_size
    settings = ExportSettings(
        format=args.format, size=None if args.size is None else read_size(args.size),
        text_input=args.text_input, nms=args.nms, dtype=args.dtype)
    check_place(args.out, settings.format)
    asked = query_arguments(args)
    from glipkit.export.run import export_model
    print(export_model(args.model, args.out, task=args.task, settings=settings,
                       checkpoint=args.checkpoint, **asked))
    return 0
