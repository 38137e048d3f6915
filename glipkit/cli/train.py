"""``glipkit train``: the training command of every mmdet user."""
from __future__ import annotations

import argparse

from glipkit.cli._command import add_command
from glipkit.errors import UserError

EXAMPLES = '''examples:
  glipkit train glip-mini
  glipkit train configs/glip/glip-mini_shapes.py --work-dir work_dirs/a --resume
  glipkit train glip-mini --amp --cfg-options train_cfg.max_iters=500 randomness.seed=1
  torchrun --nproc_per_node=2 tools/train.py configs/glip/glip-mini_shapes.py --launcher pytorch
'''


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    from glipkit.cli._run_arguments import add_run_arguments, add_track_argument
    parser = add_command(subparsers, 'train', EXAMPLES)
    parser.add_argument('config', help='config name (glip-mini) or path')
    parser.add_argument('--resume', nargs='?', const=True, default=False, metavar='CHECKPOINT',
                        help='continue from CHECKPOINT, or from the newest in the work dir')
    parser.add_argument('--amp', action='store_true',
                        help='bfloat16 autocast; on a processor only where that is faster '
                             '(AVX512-BF16, AMX)')
    parser.add_argument('--save-memory', action='store_true',
                        help="AdamW's moments in 2 bytes a weight instead of 8, and no gradient "
                             'longer than needed where the config clips none or each by itself')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate with the global batch size')
    add_track_argument(parser)
    add_run_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from glipkit.apis.training import train
    from glipkit.cli._run_arguments import read_run_config
    cfg = read_run_config(args)
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise UserError('auto_scale_lr.base_batch_size in the config', 'none',
                            'add it or leave out --auto-scale-lr')
        cfg.auto_scale_lr.enable = True
    train(cfg, resume=args.resume, amp=args.amp, track=args.track,
          save_memory=args.save_memory)
    return 0
