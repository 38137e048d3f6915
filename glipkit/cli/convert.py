"""``glipkit convert``: rewrite a checkpoint for another program."""
from __future__ import annotations

import argparse

from glipkit.cli._command import add_command

DESCRIPTION = '''Rewrites a checkpoint of GLIP, CLIP, RegionCLIP or CLIPSelf. What SRC is, is
recognised from its keys: the official layout, mmdet's, OpenAI's (also as a TorchScript archive,
which is read and not run), timm's, glipkit's, or a training checkpoint of glipkit (its weights
alone are kept, the averaged ones where there are any). Every tensor is accounted for, or nothing
is written. An official file that goes to glipkit's layout and back is the same bit for bit.'''

#: All layouts of all families; here as well, so that help needs no PyTorch.
LAYOUTS = ('glipkit', 'official', 'mmdet', 'openai', 'eva', 'open_clip', 'timm', 'fvit')

EXAMPLES = '''examples:
  glipkit convert glip_tiny_model_o365_goldg.pth glip-t-c.safetensors
  glipkit convert work_dirs/mini/iter_1300.pth mini.safetensors
  glipkit convert work_dirs/mini/iter_1300.pth half.safetensors --dtype float16 --config glip-mini
  glipkit convert glip-t-c.safetensors for_mmdet.pth --to mmdet
  glipkit convert hf:owner/repository/model.pth glip-t.safetensors --force
  glipkit convert regionclip_finetuned-coco_rn50.pth detector.safetensors --text RN50.pt
  glipkit convert distilled.safetensors mixed.safetensors --interpolate clip.pt --alpha 0.7
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = add_command(subparsers, 'convert', EXAMPLES, DESCRIPTION)
    parser.add_argument('source', metavar='SRC', help='a file, or owner/repository:file on the hub')
    parser.add_argument('target', metavar='DST',
                        help='the new file; .safetensors or .pth says which kind')
    parser.add_argument('--to', choices=LAYOUTS, default='glipkit',
                        help="layout of DST (default: glipkit); official is the authors' own, the "
                             'others are those of some families: mmdet of GLIP, openai of CLIP, '
                             'RegionCLIP and CLIPSelf, the rest of CLIPSelf')
    parser.add_argument('--dtype', choices=['float32', 'float16', 'bfloat16'],
                        help='number format of the weights; default: that of SRC')
    parser.add_argument('--config', help='config name or path of a model that SRC must fit')
    parser.add_argument('--text', metavar='FILE', help='checkpoint whose text encoder joins a '
                        'detector without one, e.g. the CLIP weights it was made from')
    parser.add_argument('--interpolate', metavar='FILE', help='checkpoint of the same architecture '
                        'to mix with, e.g. what the training of SRC began with')
    parser.add_argument('--alpha', type=float, metavar='SHARE', help='share of SRC in the mixture, '
                        'from 0 to 1')
    parser.add_argument('--force', action='store_true', help='replace DST if it exists')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from glipkit.apis.convert import convert_checkpoint
    print(convert_checkpoint(args.source, args.target, args.to, args.force, args.dtype,
                             args.config, args.text, args.interpolate, args.alpha))
    return 0
